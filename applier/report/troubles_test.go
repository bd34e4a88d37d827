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
	said  []string // "4s put 2 retried, 1 aside"
	last  broker.Trouble
	err   error
}

func (b *board) Put(_ context.Context, t broker.Trouble) error {
	retried := 0
	if t.Retried != nil {
		retried = t.Retried.Deliveries
	}
	return b.say(t, fmt.Sprintf("put %d retried, %d aside", retried, t.AsideDeliveries))
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

// publishing runs f beside Publish, in virtual time, and returns the board.
func publishing(t *testing.T, f func(r *report.Reporter, b *board)) (b *board) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b = &board{start: time.Now()}
		r := report.New(zerolog.Nop(), nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Publish(ctx, b, func() broker.Spans { return broker.NewSpans(1, 2, 3) }) }()
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
		}, []string{"2s put 2 retried, 0 aside", "12s put 2 retried, 0 aside", "22s put 2 retried, 0 aside", "26s clear"}},
		"another cause, and fewer": {func(r *report.Reporter, _ *board) {
			r.Postponed(ds[:2], away)
			after(5 * time.Second)
			r.Postponed(ds[:2], errors.New("locked"))
			after(2 * time.Second)
			settle(r, ds[0])
			after(2 * time.Second)
		}, []string{"2s put 2 retried, 0 aside", "6s put 2 retried, 0 aside", "8s put 1 retried, 0 aside", "9s clear"}},
		"what is set aside comes back again and again": {func(r *report.Reporter, _ *board) {
			for range 3 {
				r.Parked(ds[0], applier.KeyUnavailable, away)
				after(5 * time.Second)
			}
			settle(r, ds[0])
			after(3 * time.Second)
		}, []string{"2s put 0 retried, 1 aside", "12s put 0 retried, 1 aside", "16s clear"}},
		"or is settled by another applier": {func(r *report.Reporter, _ *board) {
			r.Parked(ds[0], applier.KeyUnavailable, away)
			after(time.Minute)
		}, []string{"2s put 0 retried, 1 aside", "12s put 0 retried, 1 aside", "22s put 0 retried, 1 aside", "32s clear"}},
		"a broker that is away": {func(r *report.Reporter, b *board) {
			b.fail(away)
			r.Postponed(ds[:1], away)
			after(5 * time.Second)
			b.fail(nil)
			after(2 * time.Second)
		}, []string{"6s put 1 retried, 0 aside", "7s clear"}},
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
	ds := deliveries(150)
	var since, now time.Time
	var said broker.Trouble
	publishing(t, func(r *report.Reporter, b *board) {
		since = time.Now().UTC()
		for range 3 {
			r.Postponed(ds[:2], errors.New("away"))
			for _, d := range ds[2:] {
				r.Parked(d, applier.KeyUnavailable, errors.New("no key"))
			}
		}
		after(time.Second)
		now = time.Now().UTC()
		r.Postponed([]*delivery.Delivery{ds[2]}, errors.New("away again")) // was set aside before
		after(1500 * time.Millisecond)
		b.mu.Lock()
		defer b.mu.Unlock()
		said = b.last
	})
	wantRetried := &broker.TroubleRetried{Since: since, Attempts: 3, Why: "away again", Deliveries: 3, Messages: broker.NewSpans(1, 2, 3)}
	if diff := cmp.Diff(wantRetried, said.Retried); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(broker.NewSpans(1, 2, 3), said.Held); diff != "" {
		t.Error(diff)
	}
	if len(said.Aside) != 100 || said.AsideDeliveries != 147 || !now.After(since) {
		t.Fatalf("%d of %d that are set aside are named, want 100 of 147", len(said.Aside), said.AsideDeliveries)
	}
	want := broker.TroubleAside{ID: ds[3].ID, Sequence: 4, Since: since, Attempts: 3, Why: "no key"}
	if diff := cmp.Diff(want, said.Aside[0]); diff != "" {
		t.Error(diff)
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
		r.Parked(deliveries(1)[0], applier.KeyUnavailable, err)
		after(3 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		why = b.last.Aside[0].Why
	})
	if len(b.said) == 0 {
		t.Fatal("nothing was published")
	}
	return why
}

func TestTroublesReachTheBrokerAndAreWithdrawn(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := report.New(zerolog.Nop(), nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- r.Publish(ctx, conn.Notice("here-1"), func() broker.Spans { return broker.NewSpans(1) })
	}()
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
