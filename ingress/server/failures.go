package server

import (
	"net/netip"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// pace allows this many failures at once, and one more each interval.
type pace struct {
	burst    int64
	interval time.Duration
}

// The paces of failed authentications. Requests that pass are never counted nor
// slowed down, so nobody can lock a sender out, not even from its own address.
var (
	addressPace = pace{burst: 100, interval: 250 * time.Millisecond}
	webhookPace = pace{burst: 20, interval: time.Second} // of one address at one webhook
)

// maxFailing bounds the memory of failures: a few MiB.
const maxFailing = 1 << 15

// failing is an address, or an address at one webhook.
type failing struct {
	network netip.Addr
	webhook string
}

// failures remember when each that failed will have all of its burst again.
type failures struct {
	mu    sync.Mutex
	since time.Time
	full  map[failing]time.Duration // after since
}

func newFailures() *failures {
	return &failures{since: time.Now(), full: map[failing]time.Duration{}}
}

// note counts a failure. It returns how long the sender has to wait, or 0 for one
// that may fail that often.
func (f *failures) note(network netip.Addr, webhook string, at time.Time) time.Duration {
	now := at.Sub(f.since)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.full) >= maxFailing-1 {
		f.forget(now)
	}
	wait := f.spend(failing{network: network}, addressPace, now)
	return max(wait, f.spend(failing{network, webhook}, webhookPace, now))
}

func (f *failures) spend(who failing, p pace, now time.Duration) time.Duration {
	full := max(f.full[who], now)
	if wait := full - now - time.Duration(p.burst-1)*p.interval; wait > 0 {
		return wait
	}
	f.full[who] = full + p.interval
	return 0
}

// forget makes room: first of those that have all of their burst, then of any.
func (f *failures) forget(now time.Duration) {
	for who, full := range f.full {
		if full <= now {
			delete(f.full, who)
		}
	}
	for who := range f.full {
		if len(f.full) <= maxFailing/2 {
			return
		}
		delete(f.full, who)
	}
}

// tally logs one line in a while of what happens often, with how often it did.
type tally struct {
	mu    sync.Mutex
	next  time.Time
	count int
}

const tallyEvery = 10 * time.Second

// log returns the line to write, or nil.
func (t *tally) log(log *zerolog.Logger, at time.Time) *zerolog.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if at.Before(t.next) {
		return nil
	}
	e := log.Warn().Int("count", t.count)
	t.next, t.count = at.Add(tallyEvery), 0
	return e
}
