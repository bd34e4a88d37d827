package server

import "sync/atomic"

// inFlight bounds the requests that are being answered, and the memory of
// their bodies. Nobody waits for room: a sender that is refused at once can
// try another replica.
type inFlight struct {
	maxRequests, maxBytes int64
	requests, bytes       atomic.Int64
}

func newInFlight(requests, bytes int64) *inFlight {
	return &inFlight{maxRequests: requests, maxBytes: bytes}
}

func (f *inFlight) acquire(bytes int64) bool {
	requests, taken := f.requests.Add(1), f.bytes.Add(bytes)
	if requests <= f.maxRequests && taken <= f.maxBytes {
		return true
	}
	f.release(bytes)
	return false
}

func (f *inFlight) release(bytes int64) {
	f.bytes.Add(-bytes)
	f.requests.Add(-1)
}
