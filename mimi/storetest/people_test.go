package storetest_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

func TestPins(t *testing.T) {
	storetest.Pins(t, func(*testing.T) identity.PinStore { return storetest.NewPeople() })
}

func TestPackages(t *testing.T) {
	storetest.Packages(t, func(*testing.T) connection.Packages { return storetest.NewPeople() })
}

func TestReplays(t *testing.T) {
	storetest.Replays(t, func(*testing.T) connection.Replays { return storetest.NewPeople() })
}

func TestKeyMaterial(t *testing.T) {
	storetest.KeyMaterial(t, func(*testing.T) keymaterial.Store { return storetest.NewPeople() })
}

func TestRegistrations(t *testing.T) {
	storetest.Registrations(t, func(*testing.T) storetest.RegistrationStore { return storetest.NewPeople() })
}

func TestPrivates(t *testing.T) {
	storetest.Privates(t, func(*testing.T) keymaterial.Privates { return storetest.NewPeople() })
}

func TestNonces(t *testing.T) {
	storetest.Nonces(t, func(*testing.T) keymaterial.Nonces { return storetest.NewPeople() })
}

func TestPseudonyms(t *testing.T) {
	storetest.Pseudonyms(t, func(*testing.T) keymaterial.Pseudonyms { return storetest.NewPeople() })
}

func TestAllowances(t *testing.T) {
	storetest.Allowances(t, func(*testing.T) keymaterial.Allowances { return storetest.NewPeople() })
}
