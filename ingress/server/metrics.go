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
}

func newMetrics(r prometheus.Registerer, f *inFlight) *metrics {
	auto := promauto.With(r)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coinhook_ingress_in_flight_requests",
		Help: "Requests whose body is being read or that wait for the broker.",
	}, func() float64 { return float64(f.requests.Load()) })
	requests := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "coinhook_ingress_requests_total",
		Help: "Requests answered, by the status of the receipt or the code of the problem.",
	}, []string{"code"})
	m := &metrics{
		requests: map[string]prometheus.Counter{},
		duration: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_ingress_request_duration_seconds",
			Help:    "Time from a request's headers to its answer, for requests to webhooks.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		bodyBytes: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_ingress_body_bytes",
			Help:    "Size of the bodies that were read whole.",
			Buckets: prometheus.ExponentialBuckets(256, 4, 7),
		}),
	}
	// Each series starts at 0, so that the first problem shows as an increase.
	for _, code := range []string{ingress.Pending, ingress.Captured} {
		m.requests[code] = requests.WithLabelValues(code)
	}
	for code := range problems {
		m.requests[string(code)] = requests.WithLabelValues(string(code))
	}
	return m
}

// count counts one answer. The codes are a closed set.
func (m *metrics) count(code string) { m.requests[code].Inc() }
