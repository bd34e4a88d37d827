package report_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/delivery"
)

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

	want := `
# HELP coinhook_applier_settled_deliveries_total Deliveries that got their outcome, by status, outcome and reason.
# TYPE coinhook_applier_settled_deliveries_total counter
coinhook_applier_settled_deliveries_total{outcome="",reason="user_not_found",status="failed"} 1
coinhook_applier_settled_deliveries_total{outcome="applied",reason="",status="success"} 1
# HELP coinhook_applier_postponed_deliveries_total Deliveries that could not be settled and are retried.
# TYPE coinhook_applier_postponed_deliveries_total counter
coinhook_applier_postponed_deliveries_total 10
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"coinhook_applier_settled_deliveries_total", "coinhook_applier_postponed_deliveries_total"); err != nil {
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
