package audit_test

import (
	"context"
	"slices"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestARepairDoesNotPublishWhatItWouldMisread: written by this version, it would lose
// what the newer one had put into it.
func TestARepairDoesNotPublishWhatItWouldMisread(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	store, _ := postgrestest.Open(t, postgres.Options{})
	settled, lost := delivery.NewID(), delivery.NewID()
	for _, id := range []delivery.ID{settled, lost} {
		server.PublishNewer(id, "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa")
	}
	// Newer appliers have settled one, with the hash of a body that this version
	// cannot read, and have lost the other.
	consume(t, conn, func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		for i := range batch {
			if batch[i].ID != settled {
				continue
			}
			item := applier.Item{Delivery: &batch[i], Failure: &delivery.Failure{Reason: delivery.Internal}}
			batch[i].Body = []byte("plain")
			if _, err := store.Settle(ctx, []applier.Item{item}); err != nil {
				t.Error(err)
			}
		}
		return slices.Repeat([]delivery.Verdict{delivery.Settled}, len(batch))
	})
	stream, incarnation := opened(t, conn)
	report, repaired, err := audit.New(store, stream).Repair(t.Context(), incarnation, nil, func(*audit.Report, int) error {
		t.Error("there is something to publish again")
		return nil
	})
	if err != nil || repaired != 0 {
		t.Fatalf("repaired %d, %v", repaired, err)
	}
	if len(report.Violations) != 1 || *report.Violations[0].DeliveryID != lost || report.Failed != 1 || report.Unsettled != 1 {
		t.Errorf("report %+v", report)
	}
}
