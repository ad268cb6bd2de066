package storetest_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

func TestHub(t *testing.T) {
	storetest.Hub(t, func(*testing.T) hub.Store { return storetest.NewHub() })
}

func TestQueue(t *testing.T) {
	storetest.Queue(t, func(*testing.T) storetest.HubQueue { return storetest.NewHub() })
}

func TestClient(t *testing.T) {
	storetest.Client(t, func(*testing.T) client.Store { return storetest.NewClient() })
}
