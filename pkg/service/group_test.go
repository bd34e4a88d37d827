package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// diary records what happened, in order.
type diary struct {
	mu     sync.Mutex
	events []string
}

func (d *diary) add(event string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, event)
}

func (d *diary) actor(name string, result error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		d.add(name + " stopped")
		return result
	}
}

func TestGroupStopsInReverseOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var g Group
		ctx, cancel := context.WithCancel(t.Context())
		g.Add("first", time.Second, d.actor("first", nil))
		g.Add("second", time.Second, func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(500 * time.Millisecond) // the clock of the bubble
			d.add("second stopped")
			return context.Canceled
		})
		g.Add("third", time.Second, d.actor("third", nil))
		cancel()
		if err := g.Run(ctx); err != nil {
			t.Errorf("error %v, want none", err)
		}
		if want := []string{"third stopped", "second stopped", "first stopped"}; !slices.Equal(d.events, want) {
			t.Errorf("order %q, want %q", d.events, want)
		}
	})
}

func TestGroupStopsWhenAnActorReturns(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		result error
		want   string
	}{
		{"with an error", broken, "second: broken"},
		{"without one", nil, "second: ended unasked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var d diary
			var g Group
			g.Add("first", time.Minute, d.actor("first", nil))
			g.Add("second", time.Minute, func(context.Context) error { return tt.result })
			err := g.Run(t.Context())
			if err == nil || err.Error() != tt.want || !errors.Is(err, tt.result) && tt.result != nil {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if !slices.Equal(d.events, []string{"first stopped"}) {
				t.Errorf("events %q", d.events)
			}
		})
	}
}

func TestGroupWaitsUntilTheDeadlineOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var g Group
		release := make(chan struct{})
		g.Add("first", time.Second, d.actor("first", nil))
		g.Add("stuck", 3*time.Second, func(context.Context) error { <-release; return nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		err := g.Run(ctx)
		if err == nil || !strings.Contains(err.Error(), "stuck: did not stop within 3s") {
			t.Errorf("error %v, want one that names the stuck actor", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %s, want 3s", took)
		}
		if !slices.Equal(d.events, []string{"first stopped"}) {
			t.Errorf("events %q, want the other actor stopped, too", d.events)
		}
		close(release)
	})
}
