// Package metrics counts what the gateway does, for Prometheus. It implements
// the small interfaces that the counted packages declare.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is the registry of one process and its instruments. No label holds
// an identifier of a person, room or message.
type Metrics struct {
	registry *prometheus.Registry

	intakeStored  prometheus.Counter
	intakeHandled prometheus.Counter
	refused       *prometheus.CounterVec
}

// New returns a registry with the instruments of the gateway, of the Go
// runtime and of the process.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		intakeStored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mimi_matrix_events_stored_total",
			Help: "Events from the homeserver that were stored and acknowledged.",
		}),
		intakeHandled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mimi_matrix_events_handled_total",
			Help: "Events from the homeserver that were handled and deleted, those of earlier processes too.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mimi_refused_total",
			Help: "What other providers and their users sent that did not pass a check, by the check (docs/attacks.md).",
		}, []string{"check"}),
	}
	m.registry.MustRegister(
		m.intakeStored, m.intakeHandled, m.refused,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler serves GET /metrics, and nothing else.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

// IntakeStored counts entries the intake stored.
func (m *Metrics) IntakeStored(entries int) { m.intakeStored.Add(float64(entries)) }

// IntakeHandled counts an entry the intake handled.
func (m *Metrics) IntakeHandled() { m.intakeHandled.Inc() }

// Refused counts something that did not pass a check, by the check's code.
func (m *Metrics) Refused(check string) { m.refused.WithLabelValues(check).Inc() }
