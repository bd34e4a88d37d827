package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

// A sender that is alone does not wait. Where several travel together, a message waits for
// others: until 2 ms after the one before began, or until it is full.
func TestAMessageWaitsForOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		several, doubtful bool
		since             time.Duration // the message before
		waiting, more     int
		want              time.Duration
	}{
		"alone":                {since: 0, waiting: 1},
		"several":              {several: true, since: 500 * time.Microsecond, waiting: 1, want: 1500 * time.Microsecond},
		"long after":           {several: true, since: 2 * time.Millisecond, waiting: 1},
		"full":                 {several: true, since: 0, waiting: messageFull},
		"full in a moment":     {several: true, since: 0, waiting: 1, more: messageFull, want: time.Millisecond},
		"the broker is silent": {several: true, doubtful: true, since: 0, waiting: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &Publisher{queue: queue{filled: make(chan struct{}, 1)}}
				p.commit.several, p.commit.doubtful = tc.several, tc.doubtful
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
