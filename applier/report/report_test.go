package report_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// settled returns how many deliveries got their outcome, by status, outcome and reason.
func settled(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "coinhook_applier_settled_deliveries_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			counts[labels["status"]+" "+labels["outcome"]+" "+labels["reason"]] = m.GetCounter().GetValue()
		}
	}
	return counts
}

func TestReporter(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	r := report.New(zerolog.New(&log), registry)
	d := &delivery.Delivery{ID: delivery.ID{1}, WebhookID: "wh_x", Body: []byte("the payload")}
	failure := &delivery.Failure{Reason: delivery.UserNotFound, Detail: "nobody"}

	r.Settled(applier.Item{Delivery: d}, applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied})
	r.Settled(applier.Item{Delivery: d}, applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied, Known: true})
	r.Settled(applier.Item{Delivery: d}, applier.Settlement{Status: delivery.Failed, Failure: failure})
	for range 5 {
		r.Postponed([]*delivery.Delivery{d, d}, errors.New("the database is away"))
	}
	r.Bug(d, errors.New("unforeseen"))

	counts := settled(t, registry)
	for _, reason := range delivery.Reasons() {
		if _, ok := counts["failed  "+string(reason)]; !ok {
			t.Errorf("there is no series of %s: its first failures would show no increase", reason)
		}
	}
	maps.DeleteFunc(counts, func(_ string, n float64) bool { return n == 0 })
	if diff := cmp.Diff(map[string]float64{"success applied ": 1, "failed  user_not_found": 1}, counts); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
	want := `
# HELP coinhook_applier_postponed_deliveries_total Deliveries that could not be settled and are retried.
# TYPE coinhook_applier_postponed_deliveries_total counter
coinhook_applier_postponed_deliveries_total 10
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "coinhook_applier_postponed_deliveries_total"); err != nil {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 3 { // failed, postponed once, bug
		t.Errorf("%d log lines, want 3:\n%s", len(lines), &log)
	}
	if strings.Contains(log.String(), "the payload") {
		t.Error("the log holds the payload")
	}
	for _, want := range []string{`"delivery_id":"01000000-`, `"webhook_id":"wh_x"`, `"reason":"user_not_found"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}
