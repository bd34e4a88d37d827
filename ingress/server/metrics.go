package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/coinhook/coinhook/ingress"
)

// metrics are resolved once: a request looks up nothing but a small map.
type metrics struct {
	requests  map[string]prometheus.Counter
	duration  prometheus.Histogram
	bodyBytes prometheus.Histogram
	closed    map[string]prometheus.Counter
}

func newMetrics(r prometheus.Registerer, p *places, d *door) *metrics {
	auto := promauto.With(r)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coinhook_ingress_in_flight_requests",
		Help: "Requests whose body is being read or that wait for the broker.",
	}, func() float64 { return float64(p.taken.requests()) })
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coinhook_ingress_in_flight_bytes",
		Help: "Memory used by the bodies of requests in flight. MAX_IN_FLIGHT_BYTES limits it.",
	}, func() float64 { return float64(p.taken.bytes()) })
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coinhook_ingress_connections",
		Help: "Open connections. MAX_CONNECTIONS limits them.",
	}, func() float64 { return float64(d.count()) })
	closed := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "coinhook_ingress_connections_closed_total",
		Help: "Connections that the ingress closed: their address had too many, a newer one displaced them, or all were taken.",
	}, []string{"reason"})
	requests := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "coinhook_ingress_requests_total",
		Help: "Requests answered, by the status of the receipt or the code of the problem.",
	}, []string{"code"})
	m := &metrics{
		requests: map[string]prometheus.Counter{},
		closed:   map[string]prometheus.Counter{},
		duration: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_ingress_request_duration_seconds",
			Help:    "Time from a request's headers until its answer is known, for requests to webhooks.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		bodyBytes: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_ingress_body_bytes",
			Help:    "Size of the bodies that were read completely.",
			Buckets: prometheus.ExponentialBuckets(256, 4, 7),
		}),
	}
	// Each series starts at 0, so that the first problem shows as an increase.
	for _, code := range []string{ingress.Pending, ingress.Captured, ingress.Told, ingress.Greeted} {
		m.requests[code] = requests.WithLabelValues(code)
	}
	for code := range problems {
		m.requests[string(code)] = requests.WithLabelValues(string(code))
	}
	for _, reason := range []string{addressFull, displaced, full} {
		m.closed[reason] = closed.WithLabelValues(reason)
	}
	return m
}

// count counts one answer. The codes are a closed set.
func (m *metrics) count(code string) { m.requests[code].Inc() }
