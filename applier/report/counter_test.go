package report_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func TestParkedDeliveriesAreCountedNow(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{MaxConns: 2})
	d := &delivery.Delivery{ID: delivery.NewID(), WebhookID: "wh_a", Slot: 1, ReceivedAt: time.Now(), Position: delivery.Position{Sequence: 1}}
	if err := store.Park(t.Context(), []applier.Parking{{Item: applier.Item{Delivery: d}, Reason: applier.KeyUnavailable}}); err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	counter := report.NewParkedCounter(report.ParkedCounter{Store: store, Log: zerolog.Nop()}, metrics)
	compare := func(n string) error {
		return testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP coinhook_parked_deliveries Deliveries and replays that are parked now, by reason. Only the applier that counts them reports them; the others report 0. Beyond 10000 of one webhook the rest is estimated.
# TYPE coinhook_parked_deliveries gauge
coinhook_parked_deliveries{reason="key_unavailable"} `+n+`
coinhook_parked_deliveries{reason="newer_format"} 0
coinhook_parked_deliveries{reason="paused"} 0
coinhook_parked_deliveries{reason="user_locked"} 0
`), "coinhook_parked_deliveries")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- counter.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); compare("1") != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(compare("1"))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := compare("0"); err != nil { // another applier counts now
		t.Error(err)
	}
}
