package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/bridge/metrics"
)

// A refusal is counted under the code of its check, and nothing else is told of it.
func TestRefusalsAreCountedByCheck(t *testing.T) {
	m := metrics.New()
	m.Refused("entry-count")
	m.Refused("entry-count")
	m.Refused("second-leaf")
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`mimi_refused_total{check="entry-count"} 2`, `mimi_refused_total{check="second-leaf"} 1`} {
		if !strings.Contains(answer.Body.String(), want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}
