// Package metrics counts what the gateway does, for Prometheus. It implements
// the small interfaces that the counted packages declare.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
)

var _ client.Metrics = (*Metrics)(nil)

// Metrics is the registry of one process and its instruments. No label holds
// an identifier of a person, room or message.
type Metrics struct {
	registry *prometheus.Registry

	intakeStored  prometheus.Counter
	intakeHandled prometheus.Counter
	refused       *prometheus.CounterVec

	lastResort *prometheus.CounterVec
	packages   *prometheus.GaugeVec
	sets       *prometheus.GaugeVec
	active     *prometheus.GaugeVec
	links      *prometheus.CounterVec
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
		lastResort: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mimi_key_material_last_resort_total",
			Help: "Sets of KeyPackages of last resort that were handed out. With use=\"again\", the set was handed out before: two rooms share a pseudonym.",
		}, []string{"use"}),
		packages: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mimi_connection_packages",
			Help: "Establishment packages of all local users that can be handed out, at the last refill.",
		}, []string{"kind"}),
		sets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mimi_key_material_sets",
			Help: "Sets of KeyPackages of all local users that are stored, at the last refill.",
		}, []string{"kind"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mimi_active_users",
			Help: "Local users who sent or were sent messages: in the last 24 hours with window=\"day\", in the last 30 days with window=\"month\". A pseudonym hides a user among these at most.",
		}, []string{"window"}),
	}
	m.links = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mimi_identity_links_total",
		Help: "Identity links of members of rooms that were looked at; each one is, once. With result=\"closed\" it did not open, and the member is unverified.",
	}, []string{"result"})
	// Counters that are there before they count can be alerted on.
	for _, use := range []string{"first", "again"} {
		m.lastResort.WithLabelValues(use)
	}
	for _, result := range []string{"opened", "closed"} {
		m.links.WithLabelValues(result)
	}
	m.registry.MustRegister(
		m.intakeStored, m.intakeHandled, m.refused, m.lastResort, m.packages, m.sets, m.active, m.links,
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

// LastResort implements [client.Metrics].
func (m *Metrics) LastResort(before uint64) {
	use := "first"
	if before > 0 {
		use = "again"
	}
	m.lastResort.WithLabelValues(use).Inc()
}

// Stock implements [client.Metrics].
func (m *Metrics) Stock(packages, sets keymaterial.Stock) {
	for gauge, stock := range map[*prometheus.GaugeVec]keymaterial.Stock{m.packages: packages, m.sets: sets} {
		gauge.WithLabelValues("single").Set(float64(stock.Single))
		gauge.WithLabelValues("last_resort").Set(float64(stock.LastResort))
	}
}

// Active implements [client.Metrics].
func (m *Metrics) Active(crowd client.Crowd) {
	m.active.WithLabelValues("day").Set(float64(crowd.Day))
	m.active.WithLabelValues("month").Set(float64(crowd.Month))
}

// Link implements [client.Metrics].
func (m *Metrics) Link(opened bool) {
	result := "closed"
	if opened {
		result = "opened"
	}
	m.links.WithLabelValues(result).Inc()
}
