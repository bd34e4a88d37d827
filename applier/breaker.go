package applier

import (
	"context"
	"fmt"
	"sync"
)

// enoughRefused is how many refused deliveries in a row show that the database is at
// fault, and not they.
const enoughRefused = 8

// breaker prevents dead letters while the database refuses one delivery after the other
// with the same SQLSTATE: then its tables do not fit, and each delivery would fail.
type breaker struct {
	mu    sync.Mutex
	state string // of the last refusals
	run   int    // refusals with it in a row
	open  bool
}

// stops takes the SQLSTATEs of the refused deliveries and the number of the others. It
// reports whether none of them may become a dead letter.
func (b *breaker) stops(refused []string, passed int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, n := mostFrequent(refused)
	if passed > 0 || state != b.state {
		b.run = 0
	}
	b.state = state
	b.run += n
	b.open = b.run >= enoughRefused && n >= passed
	return b.open
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

func (b *breaker) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return nil
	}
	return &StoppedError{State: b.state}
}

// mostFrequent leaves out refusals without a SQLSTATE.
func mostFrequent(states []string) (state string, n int) {
	counts := map[string]int{}
	for _, s := range states {
		if s == "" {
			continue
		}
		if counts[s]++; counts[s] > n {
			state, n = s, counts[s]
		}
	}
	return state, n
}

// StoppedError says that the database refuses each delivery.
type StoppedError struct{ State string }

func (e *StoppedError) Error() string {
	return fmt.Sprintf("PostgreSQL refuses one delivery after the other with SQLSTATE %s: nothing more is settled until it takes them. "+
		"The applier's log names the table; compare the tables with `coinhook setup --check`", e.State)
}

// Ready returns an error while the database refuses each delivery.
func (a *Applier) Ready(context.Context) error { return a.breaker.err() }
