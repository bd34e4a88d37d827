package retention

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// Of a stream that came back from a backup it is not known what was compared.
func TestOnlyWhatWasComparedIsRemoved(t *testing.T) {
	t.Parallel()
	const messages = 5
	for name, tc := range map[string]struct {
		sequence uint64
		later    time.Duration // that the last one compared was stored later than the one there
		held     uint64        // the first that a finding is about
		newer    uint64        // the first that is parked with nothing but its place
		first    uint64        // that is left
	}{
		"all was compared":                       {messages, 0, math.MaxUint64, 0, messages + 1},
		"some was":                               {messages - 2, 0, math.MaxUint64, 0, messages - 1},
		"one is held back":                       {messages, 0, 3, 0, 3},
		"the first is held back":                 {messages, 0, 1, 0, 1},
		"another message was":                    {messages, time.Millisecond, math.MaxUint64, 0, 1},
		"the stream ends before what was":        {messages + 2, 0, math.MaxUint64, 0, 1},
		"another message was, of the first ones": {1, -time.Millisecond, math.MaxUint64, 0, 1},
		"one has what no row has":                {messages, 0, math.MaxUint64, 4, 4},
		"one is held back behind that":           {messages, 0, 3, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := brokertest.Start(t).SetUpAs(broker.Applier)
			store, _ := postgrestest.Open(t, postgres.Options{})
			j := New(Options{Store: store, Conn: conn, Stream: time.Nanosecond, Log: zerolog.Nop(), Metrics: prometheus.NewRegistry()})
			publish(t, conn, messages)
			var err error
			if j.stream, err = conn.OpenStream(t.Context()); err != nil {
				t.Fatal(err)
			}
			pending, err := j.stream.Pending(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			pending.First = messages + 1 // all are settled
			m, _, err := j.stream.Message(t.Context(), min(tc.sequence, messages))
			if err != nil {
				t.Fatal(err)
			}
			audited := postgres.StreamProgress{
				Incarnation: pending.Incarnation, Sequence: tc.sequence,
				StoredAt: m.StoredAt.Add(tc.later).Truncate(time.Microsecond),
			}
			parkAt(t, store, pending.Incarnation, 1, false)
			if tc.newer > 0 {
				parkAt(t, store, pending.Incarnation, tc.newer, true)
			}
			if _, err := j.removeMessages(t.Context(), pending, audited, tc.held); err != nil {
				t.Fatal(err)
			}
			left, err := j.stream.Extent(t.Context())
			if err != nil || left.First != tc.first {
				t.Errorf("message %d is the first that is left, want %d: %v", left.First, tc.first, err)
			}
		})
	}
}

// parkAt parks a delivery of a message.
func parkAt(t *testing.T, store *postgres.Store, incarnation string, sequence uint64, newer bool) {
	t.Helper()
	d := delivery.Delivery{
		ID: delivery.NewID(), WebhookID: "wh_a", Slot: 1, ReceivedAt: time.Now(), Newer: newer,
		Incarnation: incarnation, Position: delivery.Position{Sequence: sequence},
	}
	if err := store.Park(t.Context(), []applier.Parking{{Item: applier.Item{Delivery: &d}, Reason: applier.NewerFormat}}); err != nil {
		t.Fatal(err)
	}
}

// publish publishes deliveries, each in a message.
func publish(t *testing.T, conn *broker.Conn, n int) {
	t.Helper()
	publisher := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop()})
	done := make(chan error, 1)
	go func() { done <- publisher.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for range n {
		if err := publisher.Publish(t.Context(), delivery.Delivery{ID: delivery.NewID(), ReceivedAt: time.Now(), Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
}

// A finding holds back what it is about, until it is acknowledged.
func TestWhatFindingsHoldBack(t *testing.T) {
	t.Parallel()
	about := func(kind string, part admin.FindingsPart, sequence uint64, id delivery.ID) admin.Finding {
		return admin.Finding{Kind: kind, DeliveryID: admin.OrNil(id), Part: part, Sequence: sequence}
	}
	acked := func(f admin.Finding) admin.Finding { f.Acked = true; return f }
	id := delivery.NewID()
	for name, tc := range map[string]struct {
		found      []admin.Finding
		everything bool
		from       uint64
	}{
		"nothing": {nil, false, math.MaxUint64},
		"deliveries in the stream": {
			[]admin.Finding{about("unsettled", admin.StreamFindings, 9, id), about("outcome_changed", admin.StreamFindings, 4, id)}, false, 4,
		},
		"the stream as a whole": {[]admin.Finding{about("stream_went_back", admin.StreamFindings, 9, delivery.ID{})}, true, math.MaxUint64},
		"the ledger":            {[]admin.Finding{about("log_missing", admin.DeliveriesFindings, 0, id)}, true, math.MaxUint64},
		"what is acknowledged":  {[]admin.Finding{acked(about("log_missing", admin.DeliveriesFindings, 0, id))}, false, math.MaxUint64},
		"some are acknowledged": {
			[]admin.Finding{acked(about("unsettled", admin.StreamFindings, 2, id)), about("unsettled", admin.StreamFindings, 7, id)}, false, 7,
		},
	} {
		everything, from := heldBack(tc.found)
		if everything != tc.everything || from != tc.from {
			t.Errorf("%s: %v, from %d", name, everything, from)
		}
	}
}

type agreeing bool

func (a agreeing) Agree(context.Context) (bool, error) { return bool(a), nil }

// While a clock may be wrong nothing is removed, whatever is old by it.
func TestNothingIsRemovedByAClockThatMayBeWrong(t *testing.T) {
	t.Parallel()
	const messages = 3
	conn := brokertest.Start(t).SetUpAs(broker.Applier)
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 2})
	publish(t, conn, messages)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := stream.Message(t.Context(), messages)
	if err != nil {
		t.Fatal(err)
	}
	incarnation, err := conn.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `UPDATE audit_progress SET incarnation = $1, sequence = $2, stored_at = $3`, incarnation, messages, last.StoredAt.Truncate(time.Microsecond))
	if err != nil {
		t.Fatal(err)
	}
	settled := brokertest.NewConsumer(conn, func(_ context.Context, batch []delivery.Delivery) []delivery.Verdict {
		return make([]delivery.Verdict, len(batch))
	})
	done := make(chan error, 1)
	go func() { done <- settled.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if p, err := stream.Pending(t.Context()); err == nil && p.First > p.Last {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not all is acked")
		}
	}
	for _, agree := range []bool{false, true} {
		j := New(Options{Store: store, Conn: conn, Stream: time.Nanosecond, Clocks: agreeing(agree), Log: zerolog.Nop(), Metrics: prometheus.NewRegistry()})
		if _, err := j.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := uint64(1)
		if agree {
			want = messages + 1
		}
		if left, err := stream.Extent(t.Context()); err != nil || left.First != want {
			t.Errorf("the clocks agree: %v: message %d is the first that is left, want %d: %v", agree, left.First, want, err)
		}
	}
}
