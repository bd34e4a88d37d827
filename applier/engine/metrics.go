package engine

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	batch   prometheus.Histogram
	retried prometheus.Counter
}

func newMetrics(r prometheus.Registerer) metrics {
	m := promauto.With(r)
	return metrics{
		batch: m.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_settle_batch_deliveries",
			Help:    "Deliveries that shared one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		retried: m.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_settle_retried_batches_total",
			Help: "Transactions that could not be committed and were retried.",
		}),
	}
}
