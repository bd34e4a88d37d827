package server

import (
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// inFlight bounds the requests that are being answered, and the memory of
// their bodies. Nobody waits for room: a sender that is refused at once can
// try another replica.
type inFlight struct {
	limit int64
	count atomic.Int64
	bytes *semaphore.Weighted
}

func newInFlight(requests, bytes int64) *inFlight {
	return &inFlight{limit: requests, bytes: semaphore.NewWeighted(bytes)}
}

func (f *inFlight) acquire(bytes int64) bool {
	if f.count.Add(1) > f.limit {
		f.count.Add(-1)
		return false
	}
	if !f.bytes.TryAcquire(bytes) {
		f.count.Add(-1)
		return false
	}
	return true
}

func (f *inFlight) release(bytes int64) {
	f.bytes.Release(bytes)
	f.count.Add(-1)
}
