package lateusers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// maxOutstanding bounds what is published and has not run yet: senders'
	// deliveries come behind it.
	maxOutstanding = 256
	// patience is how long a replay may take to run before it is looked at again.
	patience = time.Minute

	firstLook = 20 * time.Millisecond
	lastLook  = 500 * time.Millisecond
)

// outstanding are the replays that were published and have not been seen to run.
type outstanding struct {
	mu   sync.Mutex
	sent map[delivery.ID]sent // by the delivery
}

type sent struct {
	replay delivery.ID
	user   postgres.LateUser
	at     time.Time
}

func (o *outstanding) add(d postgres.LateDelivery, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[d.ID] = sent{replay: replayID(d.ID, d.Replays), user: lateUser(d), at: at}
}

// has reports whether this replay of a delivery is under way. Another one, from
// before, has run: the delivery failed again.
func (o *outstanding) has(d postgres.LateDelivery) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.sent[d.ID]
	return ok && s.replay == replayID(d.ID, d.Replays)
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

func (o *outstanding) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sent)
}

// drop forgets those that have run, and those that were sent before.
func (o *outstanding) drop(ran []postgres.Execution, before time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range ran {
		delete(o.sent, e.DeliveryID)
	}
	for id, s := range o.sent {
		if s.at.Before(before) {
			delete(o.sent, id)
		}
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
func (j *Job) look(ctx context.Context, before time.Time) error {
	deliveries, replays := j.out.ids()
	if len(deliveries) == 0 {
		return nil
	}
	ran, err := j.Store.Replayed(ctx, deliveries, replays)
	if err != nil {
		return err
	}
	j.out.drop(ran, before)
	return nil
}

// forget forgets those that took too long, too. If they still wait for their
// user they are published again: the stream may have been lost meanwhile.
func (j *Job) forget(ctx context.Context) error {
	return j.look(ctx, j.Now().Add(-patience))
}

// awaitRoom waits until so many more may be published.
func (j *Job) awaitRoom(ctx context.Context, n int) error {
	began := j.Now()
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		if j.out.count()+n <= maxOutstanding {
			return nil
		}
		if err := j.look(ctx, time.Time{}); err != nil {
			return err
		}
		if j.out.count()+n <= maxOutstanding {
			return nil
		}
		if j.Now().Sub(began) > patience {
			return fmt.Errorf("%d replays have not run within %s: look whether the appliers settle", j.out.count(), patience)
		}
		if !rest(ctx, pause) {
			return context.Cause(ctx)
		}
	}
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
