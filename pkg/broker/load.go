package broker

import (
	"context"
	"sync"
	"time"
)

const (
	// lookAtLoadEvery is the least time from one look to the next: three requests and
	// one for each partition.
	lookAtLoadEvery = time.Second
	// fewMessages may wait at any rate: an applier reads that many at a time.
	fewMessages = 64
)

// Load tells whether settling is behind. Work that can wait asks it, because both use
// the same PostgreSQL.
type Load struct {
	// Pending is what the broker tells, such as Stream.Pending.
	Pending func(context.Context) (Pending, error)

	mu     sync.Mutex
	last   Pending
	lookAt time.Time // again
	behind bool
}

// Behind reports whether more waits in a partition than its owner settled in the second
// before the last check. A stalled partition does not count: it takes nothing from
// PostgreSQL.
func (l *Load) Behind(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Before(l.lookAt) {
		return l.behind
	} else {
		l.lookAt = now.Add(lookAtLoadEvery)
	}
	ctx, cancel := context.WithTimeout(ctx, lookAtLoadEvery)
	defer cancel()
	p, err := l.Pending(ctx)
	if err != nil {
		l.behind = false // the caller meets the same error
		return false
	}
	l.behind = l.isBehind(p)
	l.last = p
	return l.behind
}

func (l *Load) isBehind(p Pending) bool {
	seconds := p.At.Sub(l.last.At).Seconds()
	if l.last.At.IsZero() || p.Incarnation != l.last.Incarnation || seconds <= 0 {
		return false
	}
	for i, s := range p.Partitions {
		e := p.extentOf(i)
		if e.Last < e.First+fewMessages {
			continue
		}
		for _, before := range l.last.Partitions {
			settled := float64(s.Floor) - float64(before.Floor)
			if before.Partition == s.Partition && settled > 0 && float64(e.Last-e.First+1) > settled/seconds {
				return true
			}
		}
	}
	return false
}
