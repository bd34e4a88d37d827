package report_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A restored stream may have millions of deliveries that are forgotten: all are
// counted, few are logged, and none counts as settled.
func TestForgottenDeliveriesAreCountedAndLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	metrics := prometheus.NewRegistry()
	r := report.New(zerolog.New(&log), metrics)
	const n = 50
	for range n {
		r.Settled(applier.Item{Delivery: &delivery.Delivery{ID: delivery.NewID()}}, applier.Settlement{Forgotten: true})
	}
	want := `
# HELP coinhook_applier_forgotten_deliveries_total Deliveries in a restored stream whose outcome had been removed for its age: they were not executed again.
# TYPE coinhook_applier_forgotten_deliveries_total counter
coinhook_applier_forgotten_deliveries_total 50
`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "coinhook_applier_forgotten_deliveries_total"); err != nil {
		t.Error(err)
	}
	for series, count := range settled(t, metrics) {
		if count != 0 {
			t.Errorf("%v count as settled: %s", count, series)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines: %s", lines, log.String())
	}
}
