package access

import "testing"

// CommonPasswords are those that are refused.
func CommonPasswords() []string { return common() }

// FillQueue takes all places of those from strange networks, until release.
func (s *Accounts) FillQueue(tb testing.TB) (release func()) {
	tb.Helper()
	var leave []func()
	for range gateQueue {
		place, err := s.strangers.queue()
		if err != nil {
			tb.Fatal(err)
		}
		leave = append(leave, place)
	}
	return func() {
		for _, f := range leave {
			f()
		}
	}
}

// TakeLane has sign-ins from strange networks wait, until release.
func (s *Accounts) TakeLane(tb testing.TB) (release func()) {
	tb.Helper()
	leave, err := s.strangers.wait(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return leave
}

// Waiting is how many have a place.
func (s *Accounts) Waiting() int { return len(s.strangers.places) }
