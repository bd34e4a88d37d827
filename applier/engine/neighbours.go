package engine

import (
	"sync"
	"time"
)

const (
	// A community is a neighbour of another while the deliveries of both are not older.
	neighbourFor = 5 * time.Second
	// sayBusyEvery is how often this applier tells the others of a community that it
	// settles for.
	sayBusyEvery = 500 * time.Millisecond
)

// neighbours knows whether one community alone has deliveries, here and with all other
// appliers. The database is all its own then.
type neighbours struct {
	// say tells the other appliers of a community.
	say func(community string)

	mu     sync.Mutex
	last   string // the community of the last delivery
	lastAt time.Time
	saidAt time.Time
	// sharedAt is when two communities last had deliveries.
	sharedAt time.Time
}

// saw is told of a community with deliveries, here or with another applier.
func (n *neighbours) saw(community string, isHere bool, now time.Time) {
	n.mu.Lock()
	if community != n.last && now.Sub(n.lastAt) < neighbourFor {
		n.sharedAt = now
	}
	n.last, n.lastAt = community, now
	isNews := isHere && now.Sub(n.saidAt) >= sayBusyEvery
	if isNews {
		n.saidAt = now
	}
	n.mu.Unlock()
	if isNews {
		n.say(community)
	}
}

// areThere reports whether several communities have deliveries.
func (n *neighbours) areThere(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return now.Sub(n.sharedAt) < neighbourFor
}

// sharedLanes is how many transactions of spread partitions run at a time while several
// communities have deliveries: a quarter of the lanes, and at least two where there are
// two.
func (e *Engine) sharedLanes() int { return min(max(len(e.lanes)/4, 2), len(e.lanes)) }

// allSlots are those of all transactions at a time. One takes slotsOfOne of them: so
// that as many run as there are lanes where a community has the database for itself, and
// sharedLanes where it has neighbours. A partition that is spread over all lanes keeps to
// that at once when a neighbour comes.
func (e *Engine) allSlots() int64 { return int64(e.sharedLanes() * len(e.lanes)) }

func (e *Engine) slotsOfOne(now time.Time) int64 {
	if e.neighbours.areThere(now) {
		return int64(len(e.lanes))
	}
	return int64(e.sharedLanes())
}
