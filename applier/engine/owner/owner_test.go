package owner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestAppliersShareThePartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	a := w.join("a")
	w.awaitShares(time.Second, []int{4}, a)
	b := w.join("b")
	w.awaitShares(2*time.Second, []int{2, 2}, a, b) // two rounds
	c := w.join("c")
	w.awaitShares(2*time.Second, []int{1, 1, 2}, a, b, c)
	b.leave()
	w.awaitShares(500*time.Millisecond, []int{2, 2}, a, c)
	if n := w.shares(b)[0]; n != 0 {
		t.Errorf("the applier that left still has %d", n)
	}
	a.leave()
	w.awaitShares(500*time.Millisecond, []int{4}, c)
	if got := metricOf(t, c, "coinhook_partitions_owned"); got != 4 {
		t.Errorf("the metric says %v", got)
	}
	for name, m := range map[string]*member{"a": a, "b": b, "c": c} {
		if got := takeovers(t, m); got != 0 {
			t.Errorf("%s has taken over %v", name, got)
		}
	}
}

// The partitions of an applier that was killed are taken over when its leases run out,
// and not before.
func TestTakeoverFromAKilledApplier(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	a := w.join("a")
	w.awaitShares(time.Second, []int{4}, a)
	b := w.join("b")
	w.awaitShares(2*time.Second, []int{2, 2}, a, b)
	before := a.leases()
	a.kill()
	took := w.within(5*time.Second, "b has all", func() bool { return len(b.leases()) == 4 })
	if took < time.Second {
		t.Errorf("b has all after %s, while the leases of a last", took)
	}
	for p, t2 := range b.leases() {
		if old, was := before[p]; was && t2.Token <= old.Token {
			t.Errorf("partition %s has the token %d, as before", p, t2.Token)
		}
	}
	if got := takeovers(t, b); got != 2 {
		t.Errorf("b has taken over %v partitions, want 2", got)
	}
}

// An applier that does not reach PostgreSQL stops before another takes over.
func TestAnApplierWithoutPostgreSQLStops(t *testing.T) {
	t.Parallel()
	for name, pass := range map[string]func(context.Context) error{
		"that refuses": func(context.Context) error { return errors.New("cannot execute UPDATE in a read-only transaction") },
		"that is silent": func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
		"whose driver hangs": func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(8 * time.Second)
			return context.Cause(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			a := w.join("a")
			w.awaitShares(time.Second, []int{2}, a)
			a.store.set(pass)
			b := w.join("b")
			w.within(5*time.Second, "a has stopped", func() bool {
				w.together(a, b)
				return len(a.leases()) == 0
			})
			w.within(2*time.Second, "b has all", func() bool { return len(b.leases()) == 2 })
			a.store.set(nil)
			w.awaitShares(12*time.Second, []int{1, 1}, a, b)
		})
	}
}

// A process that was frozen goes on with what it had in mind. PostgreSQL refuses it.
func TestAFrozenApplierIsFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	a := w.join("a")
	w.awaitShares(time.Second, []int{1}, a)
	var old applier.Lease
	for _, l := range a.leases() {
		old = l.Lease
	}
	if err := w.settle(t.Context(), old, nil); err != nil {
		t.Fatal(err)
	}
	// One transaction is in flight when it freezes.
	inside, thaw := make(chan struct{}), make(chan struct{})
	flying := make(chan error, 1)
	go func() {
		flying <- w.settle(t.Context(), old, func() {
			close(inside)
			<-thaw
		})
	}()
	<-inside
	a.kill()
	b := w.join("b")
	// It has the lease's lock: b does not take the partition under it, and goes on.
	w.within(6*time.Second, "the lease has run out", func() bool {
		var out bool
		if err := w.DB.QueryRowContext(t.Context(), "SELECT expires_at < clock_timestamp() - interval '1 second' FROM partitions").Scan(&out); err != nil {
			t.Fatal(err)
		}
		return out
	})
	if n := len(b.leases()); n != 0 {
		t.Fatal("b has the partition while a transaction of a is in flight")
	}
	close(thaw)
	if err := <-flying; err != nil {
		t.Fatalf("the transaction in flight: %v", err)
	}
	w.within(time.Second, "b has it", func() bool { return len(b.leases()) == 1 })
	var fenced *applier.FencedError
	if err := w.settle(t.Context(), old, nil); !errors.As(err, &fenced) {
		t.Errorf("settling under the old lease: %v", err)
	}
	for _, l := range b.leases() {
		if err := w.settle(t.Context(), l.Lease, nil); err != nil {
			t.Error(err)
		}
	}
	var tokens string
	if err := w.DB.QueryRowContext(t.Context(), "SELECT string_agg(token::text, ',' ORDER BY at) FROM settled").Scan(&tokens); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("1,1,2", tokens); diff != "" {
		t.Error(diff)
	}
}

// A partition that is given back is finished first, and its lease is kept meanwhile.
func TestGivingBackFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.join("a")
	w.awaitShares(time.Second, []int{2}, a)
	busy := make(chan struct{})
	a.mu.Lock()
	a.busy = busy
	a.mu.Unlock()
	b := w.join("b")
	w.within(2*time.Second, "a is asked to stop one", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.drops == 1
	})
	var first time.Time
	if err := w.DB.QueryRowContext(t.Context(), "SELECT max(expires_at) FROM partitions").Scan(&first); err != nil {
		t.Fatal(err)
	}
	w.within(5*time.Second, "without renewals the leases have run out", func() bool {
		w.together(a, b)
		if len(b.leases()) > 0 {
			t.Fatal("b has a partition that a still settles")
		}
		var now time.Time
		var live int
		if err := w.DB.QueryRowContext(t.Context(), "SELECT clock_timestamp(), count(*) FILTER (WHERE expires_at > clock_timestamp()) FROM partitions").Scan(&now, &live); err != nil {
			t.Fatal(err)
		}
		if live != 2 {
			t.Fatalf("%d leases live", live)
		}
		return now.After(first.Add(200 * time.Millisecond))
	})
	close(busy)
	w.awaitShares(500*time.Millisecond, []int{1, 1}, a, b)
}

// An applier without NATS gives its partitions to one that has it.
func TestAnApplierWithoutNATSHandsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a, b := w.join("a"), w.join("b")
	w.awaitShares(2*time.Second, []int{1, 1}, a, b)
	a.away.Store(true)
	w.within(8*time.Second, "b has all", func() bool { return len(b.leases()) == 2 })
	a.away.Store(false)
	w.awaitShares(3*time.Second, []int{1, 1}, a, b)
}

// The old generation is finished before the new one begins, and its consumers go.
func TestAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	p := broker.NewPublisher(w.Conn, broker.PublisherOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go p.Run(ctx) // ends with ctx
	if err := p.Publish(t.Context(), delivery.Delivery{ID: delivery.NewID(), WebhookID: "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", ReceivedAt: time.Now(), Body: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	a, b := w.join("a"), w.join("b")
	w.within(2*time.Second, "one has it", func() bool { return slices.Equal(w.shares(a, b), []int{0, 1}) })
	w.SetUp(4)
	old := delivery.Partition{Generation: 1, Index: 0, Count: 1}
	holder := a
	w.within(2*time.Second, "its owner knows the end", func() bool {
		if _, ok := b.leases()[old]; ok {
			holder = b
		}
		return holder.leases()[old].endsAt == 1
	})
	w.SetUp(3) // on top of it
	w.together(a, b)
	if got := w.shares(a, b); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("the shares are %v before the old generation is finished", got)
	}
	holder.finish(old)
	// The second generation has no messages, and is finished by itself.
	w.within(3*time.Second, "the third generation is shared", func() bool {
		for _, m := range []*member{a, b} {
			for p := range m.leases() {
				if p.Generation == 2 {
					t.Errorf("%s settles a generation without messages", m.name)
				}
			}
		}
		return slices.Equal(w.shares(a, b), []int{1, 2})
	})
	w.together(a, b)
	want := []string{"partition-3-0", "partition-3-1", "partition-3-2"}
	w.within(3*time.Second, "only its consumers are left", func() bool {
		return slices.Equal(w.Server.PartitionConsumers(), want)
	})
}

// All appliers start at the same time, and one restarts with its old name.
func TestAppliersThatStartTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8)
	var all []*member
	for i := range 4 {
		all = append(all, w.join(fmt.Sprintf("applier-%d", i)))
	}
	w.awaitShares(3*time.Second, []int{2, 2, 2, 2}, all...)
	w.within(3*time.Second, "nothing moves any more", func() bool {
		before := w.shares(all...)
		tokens := func() (sum int64) {
			if err := w.DB.QueryRowContext(t.Context(), "SELECT sum(token) FROM partitions").Scan(&sum); err != nil {
				t.Fatal(err)
			}
			return sum
		}
		first := tokens()
		time.Sleep(1200 * time.Millisecond) // a round of each
		return slices.Equal(before, w.shares(all...)) && first == tokens()
	})
	all[3].kill()
	again := w.join("applier-3")
	w.within(2*time.Second, "it has its own again", func() bool { return len(again.leases()) == 2 })
}

// Several appliers finish the last partitions of a generation at the same time. One of
// them has to see that nothing is left of it, and delete its consumers.
func TestConsumersGoWhenAppliersFinishTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	p := broker.NewPublisher(w.Conn, broker.PublisherOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go p.Run(ctx) // ends with ctx
	all := []*member{w.join("a"), w.join("b"), w.join("c")}
	for generation := 2; generation < 12; generation++ {
		d := delivery.Delivery{ID: delivery.NewID(), WebhookID: "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", ReceivedAt: time.Now(), Body: []byte("{}")}
		if err := p.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		count := 1 + generation%3*2
		w.SetUp(count)
		w.within(10*time.Second, "the generation before is finished", func() bool {
			total := 0
			for _, m := range all {
				for p, l := range m.leases() {
					if l.endsAt > 0 {
						m.finish(p)
					}
					if p.Generation == generation {
						total++
					}
				}
			}
			return total == count
		})
	}
	w.within(5*time.Second, "only the last generation has consumers", func() bool {
		for _, name := range w.Server.PartitionConsumers() {
			if !strings.HasPrefix(name, "partition-11-") {
				return false
			}
		}
		return true
	})
}
