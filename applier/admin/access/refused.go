package access

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/proxies"
)

// Strangers can cause any number of refusals, so only a limited number in each window
// is recorded. Beyond that every tenth, hundredth, thousandth is. Accounts and tokens
// have their own share.
const (
	refusedWindow = 15 * time.Minute
	refusedMost   = 100 // of all networks together, and of all accounts
	refusedOfOne  = 10  // of one network, or account
)

// Refused is Record of something that was refused, such as a sign-in. It bounds what
// strangers can have written.
func (t *Trail) Refused(ctx context.Context, by admin.Actor, what, targetKind, targetID string, detail map[string]any) error {
	bound, of := &t.strangers, proxies.Network(by.Address)
	if by.Who != "" {
		bound, of = &t.accounts, by.Who
	}
	leftOut, record := bound.allow(of, t.now())
	if !record {
		return nil
	}
	if leftOut > 0 {
		more := map[string]any{"not_recorded_since": leftOut}
		maps.Copy(more, detail)
		detail = more
	}
	return t.Record(ctx, by, what, targetKind, targetID, detail)
}

// refusals counts the refusals of a window.
type refusals struct {
	mu       sync.Mutex
	ends     time.Time
	of       map[string]int // at most refusedMost: only those recorded are in it
	recorded int
	leftOut  int // since the last one that was recorded
	total    int // left out in this window
}

// allow reports whether to record a refusal, and how many were not since the last one
// that was.
func (b *refusals) allow(of string, now time.Time) (leftOut int, record bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !now.Before(b.ends) {
		b.ends, b.of, b.recorded, b.total = now.Add(refusedWindow), map[string]int{}, 0, 0
	}
	if b.recorded >= refusedMost || b.of[of] >= refusedOfOne {
		b.total++
		b.leftOut++
		if !isPowerOfTen(b.total) {
			return 0, false
		}
		leftOut, b.leftOut = b.leftOut-1, 0
		return leftOut, true
	}
	b.recorded++
	b.of[of]++
	leftOut, b.leftOut = b.leftOut, 0
	return leftOut, true
}

func isPowerOfTen(n int) bool {
	for n > 10 && n%10 == 0 {
		n /= 10
	}
	return n == 10
}
