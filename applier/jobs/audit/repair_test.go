package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// forgetful stores what a repair publishes, for an applier that forgets it, and
// ends the repair.
type forgetful struct {
	*broker.Publisher
	published []delivery.Delivery
}

var errEnough = errors.New("enough")

func (f *forgetful) PublishAll(ctx context.Context, all []delivery.Delivery) error {
	f.published = all
	if err := f.Publisher.PublishAll(ctx, all); err != nil {
		return err
	}
	return errEnough
}

// What a repair publishes says where it was first, also when that was a copy.
func TestACopySaysWhereTheDeliveryWasFirst(t *testing.T) {
	t.Parallel()
	const lost = 3
	conn := brokertest.Start(t).ConnectSetUp()
	store, _ := postgrestest.Open(t, postgres.Options{})
	lose(t, conn, lost, lost)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	incarnation, err := conn.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	publisher := forgetful{Publisher: broker.NewPublisher(conn, broker.PublisherOptions{Again: true, Log: zerolog.Nop()})}
	appliertest.Running(t, publisher.Run)
	repair := func() map[delivery.ID][]delivery.Place {
		t.Helper()
		appliertest.Eventually(t, "the broker counts all as settled", func() bool {
			p, err := stream.Pending(t.Context())
			return err == nil && p.First > p.Last
		})
		_, _, err := audit.New(store, stream).Repair(t.Context(), incarnation, &publisher, func(*audit.Report, int) error { return nil })
		if !errors.Is(err, errEnough) {
			t.Fatalf("the repair ended with %v", err)
		}
		places := map[delivery.ID][]delivery.Place{}
		for _, d := range publisher.published {
			if d.First == nil {
				t.Fatalf("%s does not say where it was", d.ID)
			}
			if d.Slot != slot {
				t.Errorf("%s is in slot %d, was in %d", d.ID, d.Slot, slot)
			}
			places[d.ID] = append(places[d.ID], *d.First)
		}
		return places
	}
	first := repair()
	if len(first) != lost {
		t.Fatalf("repaired %d, want %d", len(first), lost)
	}
	want := map[delivery.ID][]delivery.Place{}
	for _, d := range publisher.published {
		was := delivery.Place{Incarnation: incarnation, Position: d.Position, StoredAt: d.StoredAt}
		again := was
		again.StoredAt = d.StoredAt.Truncate(time.Microsecond) // as it travels
		want[d.ID] = []delivery.Place{was, again}
	}
	// Now each is there twice, and nobody knows of either.
	if diff := cmp.Diff(want, repair()); diff != "" {
		t.Error(diff)
	}
}
