package lateusers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// maxOutstanding bounds what is published and has not run yet: senders'
	// deliveries come behind it.
	maxOutstanding = 256
	// maxParked bounds those that are remembered while they are parked.
	maxParked = 10_000
	// patience is how long a replay may take. Then it is published again, because the
	// stream may have been lost: first soon, then more and more rarely, because it may
	// wait in the stream for something that is missing.
	patience    = time.Minute
	leastOften  = 24 * time.Hour
	firstLook   = 20 * time.Millisecond
	longestPoll = 500 * time.Millisecond
)

// outstanding are the replays that were published and have not been seen to run.
type outstanding struct {
	mu   sync.Mutex
	sent map[delivery.ID]sent // by the delivery
}

type sent struct {
	replay delivery.ID
	user   postgres.LateUser
	// parked is set once it waits in a row of its own, where it blocks nobody.
	parked bool
	// wait is how long it is not published again, and due when that ends.
	wait time.Duration
	due  time.Time
}

// add notes that a delivery was published. It returns false if it was before.
func (o *outstanding) add(d postgres.LateDelivery, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	wait, replay := patience, replayID(d)
	before, ok := o.sent[d.ID]
	again := ok && before.replay == replay
	if again {
		wait = min(2*before.wait, leastOften)
	}
	o.sent[d.ID] = sent{replay: replay, user: lateUser(d), wait: wait, due: now.Add(wait)}
	return !again
}

// has reports whether this replay of a delivery is in flight, and whether it has been for
// too long. An earlier replay has run: the delivery failed again.
func (o *outstanding) has(d postgres.LateDelivery, now time.Time) (underWay, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.sent[d.ID]
	underWay = ok && s.replay == replayID(d)
	return underWay, underWay && !now.Before(s.due)
}

// addTo counts them for those users that are there.
func (o *outstanding) addTo(runs map[postgres.LateUser]int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.sent {
		if _, ok := runs[s.user]; ok {
			runs[s.user]++
		}
	}
}

// count returns how many are in flight. Parked ones do not count, up to a bound on
// memory.
func (o *outstanding) count() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.sent {
		if !s.parked {
			n++
		}
	}
	return n + max(len(o.sent)-n-maxParked, 0)
}

// park notes which of them are parked now.
func (o *outstanding) park(parked []postgres.ParkedReplay) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range parked {
		if s, ok := o.sent[r.DeliveryID]; ok && s.replay == r.ID {
			s.parked = true
			o.sent[r.DeliveryID] = s
		}
	}
}

// dropLost forgets those that were due and that a whole sweep did not publish again: they
// no longer wait for a user.
func (o *outstanding) dropLost(began time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, s := range o.sent {
		if s.due.Before(began) {
			delete(o.sent, id)
		}
	}
}

func (o *outstanding) drop(ran []postgres.Execution) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range ran {
		delete(o.sent, e.DeliveryID)
	}
}

func (o *outstanding) ids() (deliveries, replays []delivery.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, s := range o.sent {
		deliveries, replays = append(deliveries, id), append(replays, s.replay)
	}
	return deliveries, replays
}

// look forgets the replays that have run.
func (j *Job) look(ctx context.Context) error {
	deliveries, replays := j.out.ids()
	if len(deliveries) == 0 {
		return nil
	}
	ran, err := j.Store.Replayed(ctx, deliveries, replays)
	if err != nil {
		return err
	}
	j.out.drop(ran)
	parked, err := j.Store.ParkedReplays(ctx, deliveries)
	j.out.park(parked)
	return err
}

// awaitRoom waits until this many more may be published.
func (j *Job) awaitRoom(ctx context.Context, n int) error {
	began := j.Now()
	for pause := firstLook; j.out.count()+n > maxOutstanding; pause = min(2*pause, longestPoll) {
		if j.Now().Sub(began) > patience {
			return fmt.Errorf("%d replays have not run within %s: check that the appliers settle", j.out.count(), patience)
		}
		if err := jobs.Sleep(ctx, pause); err != nil {
			return err
		}
		if err := j.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// maxSpent bounds what is remembered; it costs a few megabytes.
const maxSpent = 10_000

// spent are users who have had as many deliveries run as their webhook allows,
// with how many. The rest of theirs is found by every sweep, and need not be
// counted each time: the number never falls.
type spent map[postgres.LateUser]int

func (s spent) keep(user postgres.LateUser, runs int) {
	if len(s) >= maxSpent {
		clear(s)
	}
	s[user] = runs
}
