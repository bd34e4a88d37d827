package brokertest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// violations is a server's log. It fails the test where a program lacks a permission.
type violations struct {
	mu       sync.Mutex
	seen     []string
	expected bool
}

func newViolations(tb testing.TB) *violations {
	v := &violations{}
	tb.Cleanup(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if len(v.seen) > 0 && !v.expected {
			tb.Errorf("the broker did not permit:\n%s", strings.Join(v.seen, "\n"))
		}
	})
	return v
}

func (v *violations) expect() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expected = true
}

// Errorf is how the server logs a violation.
func (v *violations) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !strings.Contains(text, "Violation") {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen = append(v.seen, text)
}

// The other levels say nothing of permissions.

func (v *violations) Noticef(string, ...any) {}
func (v *violations) Warnf(string, ...any)   {}
func (v *violations) Fatalf(string, ...any)  {}
func (v *violations) Debugf(string, ...any)  {}
func (v *violations) Tracef(string, ...any)  {}
