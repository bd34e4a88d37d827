package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

// A sender that is alone does not wait. Where several travel together, a message waits for
// others: the longer the more the one before had, or until it is full.
func TestAMessageWaitsForOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before        int // deliveries of the message before
		doubtful      bool
		since         time.Duration // the message before
		waiting, more int
		want          time.Duration
	}{
		"the first":            {since: 0, waiting: 1},
		"alone":                {before: 1, since: 0, waiting: 1},
		"two":                  {before: 2, since: 500 * time.Microsecond, waiting: 1, want: 1500 * time.Microsecond},
		"many":                 {before: 256, since: time.Millisecond, waiting: 1, want: 3 * time.Millisecond},
		"long after":           {before: 2, since: 2 * time.Millisecond, waiting: 1},
		"full":                 {before: 2, since: 0, waiting: messageFull},
		"full in a moment":     {before: 2, since: 0, waiting: 1, more: messageFull, want: time.Millisecond},
		"the broker is silent": {before: 2, doubtful: true, since: 0, waiting: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &Publisher{queue: queue{filled: make(chan struct{}, 1)}}
				p.commit.before, p.commit.doubtful = tc.before, tc.doubtful
				p.commit.begun = time.Now().Add(-tc.since)
				p.commit.waiting = make([]*entry, tc.waiting)
				if tc.more > 0 {
					time.AfterFunc(time.Millisecond, func() { p.queue.add(make([]*entry, tc.more)...) })
				}
				start := time.Now()
				p.awaitOthers()
				if waited := time.Since(start); waited != tc.want {
					t.Errorf("waited %v, want %v", waited, tc.want)
				}
				if got := len(p.commit.waiting); got != tc.waiting+tc.more {
					t.Errorf("%d are taken, want %d", got, tc.waiting+tc.more)
				}
			})
		})
	}
}
