package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/bridge/metrics"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
)

func TestKeyMaterial(t *testing.T) {
	m := metrics.New()
	for _, before := range []uint64{0, 0, 1, 7, 8} {
		m.LastResort(before)
	}
	m.Stock(keymaterial.Stock{Single: 9, LastResort: 9}, keymaterial.Stock{})
	m.Stock(keymaterial.Stock{Single: 5, LastResort: 1}, keymaterial.Stock{LastResort: 4})
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, line := range []string{
		`mimi_key_material_last_resort_total{use="first"} 2`, `mimi_key_material_last_resort_total{use="again"} 3`,
		`mimi_connection_packages{kind="single"} 5`, `mimi_connection_packages{kind="last_resort"} 1`,
		`mimi_key_material_sets{kind="single"} 0`, `mimi_key_material_sets{kind="last_resort"} 4`,
	} {
		if !strings.Contains(answer.Body.String(), line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
}
