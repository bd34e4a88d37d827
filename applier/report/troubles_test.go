package report_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// board remembers what was said, and when, in virtual time.
type board struct {
	mu    sync.Mutex
	start time.Time
	said  []string // "4s put 2"
	last  broker.Trouble
	err   error
}

func (b *board) Put(_ context.Context, t broker.Trouble) error {
	return b.say(t, fmt.Sprintf("put %d", t.Retried.Deliveries))
}

func (b *board) Clear(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return b.say(broker.Trouble{}, "clear")
}

func (b *board) Tidy(context.Context) error { return nil }

func (b *board) say(t broker.Trouble, what string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.last, b.said = t, append(b.said, time.Since(b.start).String()+" "+what)
	}
	return b.err
}

func (b *board) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func deliveries(n int) []*delivery.Delivery {
	all := make([]*delivery.Delivery, n)
	for i := range all {
		all[i] = &delivery.Delivery{ID: delivery.NewID(), Position: delivery.Position{Sequence: uint64(i + 1)}, Attempt: 1}
	}
	return all
}

func settle(r *report.Reporter, d *delivery.Delivery) {
	r.Settled(applier.Item{Delivery: d}, applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied})
}

// publishing runs f next to Publish, in virtual time, and returns the board.
func publishing(t *testing.T, f func(r *report.Reporter, b *board)) (b *board) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b = &board{start: time.Now()}
		r := report.New(zerolog.Nop(), nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Publish(ctx, b) }()
		f(r, b)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

// after lets virtual time pass.
func after(d time.Duration) { <-time.After(d) }

func TestTroublesAreSaidWhenTheyBeginChangeAndEnd(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	ds := deliveries(4)
	for name, tc := range map[string]struct {
		do   func(r *report.Reporter, b *board)
		want []string
	}{
		"nothing to say": {func(r *report.Reporter, _ *board) {
			settle(r, ds[0])
			after(time.Minute)
		}, nil},
		"over in a moment": {func(r *report.Reporter, _ *board) {
			r.Postponed(ds[:2], away)
			after(time.Second)
			settle(r, ds[0])
			settle(r, ds[1])
			after(time.Minute)
		}, nil},
		"an outage": {func(r *report.Reporter, _ *board) {
			for range 25 { // more attempts alone are no change
				r.Postponed(ds[:2], away)
				after(time.Second)
			}
			settle(r, ds[0])
			settle(r, ds[1])
			after(10 * time.Second)
		}, []string{"2s put 2", "12s put 2", "22s put 2", "26s clear"}},
		"another cause, and fewer": {func(r *report.Reporter, _ *board) {
			r.Postponed(ds[:2], away)
			after(5 * time.Second)
			r.Postponed(ds[:2], errors.New("locked"))
			after(2 * time.Second)
			settle(r, ds[0])
			after(2 * time.Second)
		}, []string{"2s put 2", "6s put 2", "8s put 1", "9s clear"}},
		"a partition that another applier has now": {func(r *report.Reporter, _ *board) {
			r.Postponed(ds[:1], away)
			after(2 * time.Minute)
		}, []string{"2s put 1", "12s put 1", "22s put 1", "32s put 1", "42s put 1", "52s put 1", "1m2s clear"}},
		"what concerns no delivery lasts until one is settled": {func(r *report.Reporter, _ *board) {
			for range 3 {
				r.Postponed(nil, away)
				after(3 * time.Second)
				settle(r, ds[0]) // of another partition
			}
			after(4 * time.Second)
			settle(r, ds[0])
			after(2 * time.Second)
		}, []string{"2s put 0", "12s put 0", "14s clear"}},
		"or for a minute": {func(r *report.Reporter, _ *board) {
			r.Postponed(nil, away)
			after(2 * time.Minute)
		}, []string{"2s put 0", "12s put 0", "22s put 0", "32s put 0", "42s put 0", "52s put 0", "1m2s clear"}},
		"what is parked is settled for the applier": {func(r *report.Reporter, _ *board) {
			r.Postponed(ds[:1], away)
			after(3 * time.Second)
			r.Parked(ds[0], applier.UserLocked, away)
			after(2 * time.Second)
		}, []string{"2s put 1", "4s clear"}},
		"a broker that is away": {func(r *report.Reporter, b *board) {
			b.fail(away)
			r.Postponed(ds[:1], away)
			after(5 * time.Second)
			b.fail(nil)
			after(2 * time.Second)
		}, []string{"6s put 1", "7s clear"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := publishing(t, tc.do)
			if diff := cmp.Diff(tc.want, b.said); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTroublesSayWhatIsKnown(t *testing.T) {
	t.Parallel()
	ds := deliveries(9)
	for i, slot := range []int{7, 200, 7} {
		ds[i+3].Slot = slot
	}
	for name, tc := range map[string]struct {
		do   func(r *report.Reporter)
		want broker.TroubleRetried
	}{
		"of deliveries": {func(r *report.Reporter) {
			for range 3 {
				r.Postponed(ds[3:6], errors.New("away"))
			}
			after(time.Second)
			r.Postponed(ds[4:5], errors.New("away again"))
		}, broker.TroubleRetried{Attempts: 4, Why: "away again", Deliveries: 3, First: 4, Last: 6, Slots: []int{7, 200}}},
		"of deliveries that another applier had": {func(r *report.Reporter) {
			d := *ds[3]
			d.Attempt = 17
			r.Postponed([]*delivery.Delivery{&d}, errors.New("away"))
		}, broker.TroubleRetried{Attempts: 17, Why: "away", Deliveries: 1, First: 4, Last: 4, Slots: []int{7}}},
		"of the whole applier, too": {func(r *report.Reporter) {
			r.Postponed(ds[3:6], errors.New("away"))
			after(time.Second)
			r.Postponed(nil, errors.New("away for all"))
		}, broker.TroubleRetried{Attempts: 1, Why: "away for all", Deliveries: 3, First: 4, Last: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			publishing(t, func(r *report.Reporter, b *board) {
				tc.want.Since = time.Now().UTC()
				tc.do(r)
				after(3 * time.Second)
				b.mu.Lock()
				defer b.mu.Unlock()
				if diff := cmp.Diff(&tc.want, b.last.Retried); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestTroublesHoldNoSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"not connected to NATS at nats://user:hunter2@host:4222": "not connected to NATS at nats://…@host:4222",
		"postgres://u:hunter2@ss@host/db?password=hunter2&x=1":   "postgres://…@host/db?password=…&x=1",
		`host=h password='hunter2 too' dbname=d`:                 `host=h password=… dbname=d`,
		"two\nlines\x1b[31m":                                     "two lines [31m",
		strings.Repeat("ä", 400):                                 strings.Repeat("ä", 150) + "…",
	} {
		if got := published(t, errors.New(text)); got != want {
			t.Errorf("of %q is published %q, want %q", text, got, want)
		}
	}
	refused := &applier.DataError{Err: errors.New(`invalid input syntax: "the payload"`)}
	if got := published(t, fmt.Errorf("settle: %w", refused)); strings.Contains(got, "payload") || !strings.Contains(got, "PostgreSQL") {
		t.Errorf("of a refused value is published %q", got)
	}
}

// published is what is said of an error.
func published(t *testing.T, err error) (why string) {
	t.Helper()
	b := publishing(t, func(r *report.Reporter, b *board) {
		r.Postponed(deliveries(1), err)
		after(3 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		why = b.last.Retried.Why
	})
	if len(b.said) == 0 {
		t.Fatal("nothing was published")
	}
	return why
}

func TestTroublesReachTheBrokerAndAreWithdrawn(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).SetUpAs(broker.Applier)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := report.New(zerolog.Nop(), nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Publish(ctx, conn.Notice("here-1")) }()
	r.Postponed(deliveries(1), errors.New("away"))
	await := func(what string, holds func([]broker.Trouble) bool) {
		t.Helper()
		for deadline := time.After(30 * time.Second); ; {
			p, err := stream.PendingWithTroubles(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if holds(p.Troubles) {
				return
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-deadline:
				t.Fatalf("waited in vain until %s", what)
			}
		}
	}
	await("it is published", func(all []broker.Trouble) bool {
		return len(all) == 1 && all[0].Applier == "here-1" && all[0].Retried.Why == "away"
	})
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	await("it is withdrawn", func(all []broker.Trouble) bool { return len(all) == 0 })
}
