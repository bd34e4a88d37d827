package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A webhook that is paused may have a million deliveries: all are counted, few logged.
func TestParkedDeliveriesAreCountedAndLoggedOnceAWebhookAndReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		metrics := prometheus.NewRegistry()
		r := report.New(zerolog.New(&log), metrics)
		park := func(n int, webhookID string, reason applier.ParkReason) {
			for range n {
				r.Parked(&delivery.Delivery{ID: delivery.NewID(), WebhookID: webhookID, Body: []byte("the payload")}, reason, errors.New("it waits"))
			}
		}
		park(50, "wh_a", applier.Paused)
		park(1, "wh_a", applier.UserLocked)
		park(2, "wh_b", applier.Paused)
		after(59 * time.Second)
		park(1, "wh_a", applier.Paused)
		after(time.Second)
		park(1, "wh_a", applier.Paused)
		want := `
# HELP coinhook_applier_parked_deliveries_total Deliveries that were parked, by reason. They wait in PostgreSQL until their webhook or user is ready.
# TYPE coinhook_applier_parked_deliveries_total counter
coinhook_applier_parked_deliveries_total{reason="paused"} 54
coinhook_applier_parked_deliveries_total{reason="user_locked"} 1
`
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "coinhook_applier_parked_deliveries_total"); err != nil {
			t.Error(err)
		}
		type line struct {
			Level, Error, Reason string
			WebhookID            string `json:"webhook_id"`
			Deliveries           int
		}
		var lines []line
		for text := range strings.Lines(log.String()) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, l)
		}
		if diff := cmp.Diff([]line{
			{"info", "it waits", "paused", "wh_a", 1},
			{"info", "it waits", "user_locked", "wh_a", 1},
			{"info", "it waits", "paused", "wh_b", 1},
			{"info", "it waits", "paused", "wh_a", 51},
		}, lines); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(log.String(), "the payload") {
			t.Error("the log holds the payload")
		}
	})
}
