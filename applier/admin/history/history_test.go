package history_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// installation is a broker and a database, with deliveries that fail when they
// are settled: nobody made their webhook.
type installation struct {
	*appliertest.World
	t         *testing.T
	stream    *broker.Stream
	publisher *broker.Publisher
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	i := &installation{t: t, World: appliertest.New(t, appliertest.Options{})}
	var err error
	if i.stream, err = i.Conn.OpenStream(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.publisher = appliertest.Publisher(t, i.Conn)
	return i
}

// publish sends deliveries, each in a message of its own.
func (i *installation) publish(bodies ...string) (ids []delivery.ID) {
	i.t.Helper()
	for _, body := range bodies {
		d := delivery.Delivery{ID: delivery.NewID(), WebhookID: "wh_" + body, ReceivedAt: time.Now(), Body: []byte(body)}
		i.send(d)
		ids = append(ids, d.ID)
	}
	return ids
}

func (i *installation) send(d delivery.Delivery) {
	i.t.Helper()
	appliertest.Publish(i.t, i.publisher, d)
}

// settle settles everything but what is locked, which is parked, and returns once that
// is acknowledged.
func (i *installation) settle() {
	i.t.Helper()
	defer i.Consume(func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		var items []applier.Item
		var parked []applier.Parking
		for n := range batch {
			if string(batch[n].Body) == "locked" {
				parked = append(parked, applier.Parking{Item: applier.Item{Delivery: &batch[n], Webhook: &webhook.Webhook{}}, Reason: applier.KeyUnavailable, Detail: "no key"})
				continue
			}
			items = append(items, applier.Item{Delivery: &batch[n], Failure: &delivery.Failure{Reason: delivery.WebhookDeleted, Detail: "gone"}})
		}
		if _, err := i.Store.Settle(ctx, items); len(items) > 0 && err != nil {
			i.t.Error(err)
		}
		if err := i.Store.Park(ctx, parked); len(parked) > 0 && err != nil {
			i.t.Error(err)
		}
		return make([]delivery.Verdict, len(batch))
	})()
	appliertest.Eventually(i.t, "nothing is pending in the stream", func() bool {
		p, err := i.stream.Pending(i.t.Context())
		if err != nil {
			i.t.Fatal(err)
		}
		return p.First > p.Last
	})
}

// with returns the history by a limit.
func (i *installation) with(limit time.Duration) *history.History {
	return history.New(i.Store, i.stream, broker.NewDefinitions(i.Conn), limit)
}

func (i *installation) pending(h *history.History, f history.Filter) (ids []delivery.ID) {
	i.t.Helper()
	f.Status = delivery.Pending
	list, err := h.List(i.t.Context(), f)
	if err != nil || list.Unchecked != nil {
		i.t.Fatal(err, list.Unchecked)
	}
	for _, d := range list.Deliveries {
		ids = append(ids, d.ID)
	}
	return ids
}

const (
	everythingIsOverdue = time.Nanosecond
	nothingIsOverdue    = time.Hour
)

func TestPendingAmongTheSettled(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	old := i.publish("a", "locked", "b")
	for range 120 { // more than are looked up at first
		i.publish("c")
	}
	locked := append(old[1:2:2], i.publish("locked")...)
	settled := i.publish("d")[0]
	i.settle()
	between := time.Now()
	queued := i.publish("e", "f", "g")
	replay := delivery.Delivery{ID: settled, WebhookID: "wh_d", Replay: &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual}}
	i.send(replay)

	// Parked deliveries keep their position in the list, however long they wait.
	newestFirst := append(slices.Clone(locked), queued...)
	slices.Reverse(newestFirst)
	queuedFirst := append(slices.Clone(queued), newestFirst[3:]...)
	for _, tc := range []struct {
		limit  time.Duration
		filter history.Filter
		want   []delivery.ID
	}{
		{everythingIsOverdue, history.Filter{Limit: 1000}, queuedFirst},
		{everythingIsOverdue, history.Filter{Limit: 3}, queuedFirst[:3]},
		{everythingIsOverdue, history.Filter{Limit: 4}, queuedFirst[:4]},
		{everythingIsOverdue, history.Filter{Limit: 1000, Since: between}, queued},
		{everythingIsOverdue, history.Filter{Limit: 1000, WebhookID: "wh_f"}, queued[1:2]},
		{nothingIsOverdue, history.Filter{Limit: 1000}, newestFirst},
		{nothingIsOverdue, history.Filter{Limit: 2}, newestFirst[:2]},
		{nothingIsOverdue, history.Filter{Limit: 1000, WebhookID: "wh_locked"}, newestFirst[3:]},
	} {
		if diff := cmp.Diff(tc.want, i.pending(i.with(tc.limit), tc.filter)); diff != "" {
			t.Errorf("pending beyond %s, by %+v: %s", tc.limit, tc.filter, diff)
		}
	}
	for limit, overdue := range map[time.Duration]int{everythingIsOverdue: len(queued), nothingIsOverdue: 0} {
		head, err := i.with(limit).Head(t.Context())
		if err != nil || head.Oldest == nil || *head.Oldest != queued[0] || head.Overdue != overdue || head.Estimated || head.Unchecked != nil {
			t.Errorf("the head is %+v, %v; want %s as the oldest and %d overdue", head, err, queued[0], overdue)
		}
	}
	h := i.with(nothingIsOverdue)
	for _, id := range newestFirst {
		if full, err := h.Show(t.Context(), id); err != nil || full.ID != id || full.Status != delivery.Pending {
			t.Errorf("%s is shown as %+v, %v", id, full, err)
		}
	}
	if full, err := h.Show(t.Context(), settled); err != nil || full.Status != delivery.Failed || full.Pending != nil {
		t.Errorf("the settled one is shown as %+v, %v", full, err)
	}
	if _, err := h.Show(t.Context(), delivery.NewID()); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("of an unknown one: %v", err)
	}
}

func TestTheHeadOfAnEmptyBacklog(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.publish("a")
	i.settle()
	if head, err := i.with(everythingIsOverdue).Head(t.Context()); err != nil || head.Oldest != nil || head.Overdue != 0 {
		t.Errorf("the head is %+v, %v", head, err)
	}
}

// Ids are found by their time; a clock may be wrong.
func TestADeliveryIsFoundWhateverTheTimeOfItsID(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.publish("before")
	var ids []delivery.ID
	for _, off := range []time.Duration{-48 * time.Hour, -time.Minute, 0, 48 * time.Hour} {
		id := delivery.NewID()
		ms := time.Now().Add(off).UnixMilli()
		for n := range 6 {
			id[n] = byte(ms >> (8 * (5 - n)))
		}
		i.send(delivery.Delivery{ID: id, WebhookID: "wh_a", ReceivedAt: time.Now(), Body: []byte(fmt.Sprint(off))})
		ids = append(ids, id)
	}
	i.publish("after")
	for _, id := range ids {
		if full, err := i.with(nothingIsOverdue).Show(t.Context(), id); err != nil || full.ID != id {
			t.Errorf("%s of %s is shown as %+v, %v", id, id.Time(), full, err)
		}
	}
}
