package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// settling is a batch on its way to the store.
type settling struct {
	*Applier
	items    []Item
	verdicts []delivery.Verdict
	// passed counts those that have an outcome now and had none.
	passed int
	// refused are the items whose values the database refuses.
	refused []int
	causes  []*DataError
	// stoppedAt is the first item that was not tried, after an error.
	stoppedAt int
}

// ErrTooLong says that the database ended a transaction that took too long. Fewer
// deliveries take less.
var ErrTooLong = errors.New("a transaction took too long")

// ErrSilent: the database did not answer, or not in time. It passes.
var ErrSilent = errors.New("PostgreSQL does not answer")

// Settle has the store commit the items. If the database refuses values, the batch is
// halved until the deliveries at fault are found. These become dead letters, unless the
// database refuses one after another: then they are not at fault and are retried.
func (a *Applier) Settle(ctx context.Context, items []Item) []delivery.Verdict {
	if len(items) == 0 {
		return nil
	}
	s := settling{Applier: a, items: items, verdicts: make([]delivery.Verdict, len(items))}
	if err := s.part(ctx, 0, len(items)); err != nil {
		which := s.refused
		for n := s.stoppedAt; n < len(items); n++ {
			which = append(which, n)
		}
		s.postpone(which, err)
		return s.verdicts
	}
	wasOpen := a.breaker.isOpen()
	if a.breaker.stops(s.states(), s.passed) {
		a.report.Stopped(s.causes[0])
		s.postpone(s.refused, a.breaker.err())
		return s.verdicts
	}
	if wasOpen {
		a.report.Stopped(nil)
	}
	for i, n := range s.refused {
		s.fail(ctx, n, s.causes[i])
	}
	return s.verdicts
}

// part settles items[from:to]. After an error that no item has caused, it tries no later
// item, so that the order of the stream is kept.
func (s *settling) part(ctx context.Context, from, to int) error {
	settlements, err := s.store.Settle(ctx, s.items[from:to])
	var data *DataError
	switch {
	case err == nil:
		for i, settlement := range settlements {
			if settlement.Parked {
				s.report.Parked(s.items[from+i].Delivery, UserLocked, errUserLocked)
				s.verdicts[from+i] = delivery.Parked(errUserLocked)
				continue
			}
			s.report.Settled(s.items[from+i], settlement)
			if !settlement.Known && !settlement.Forgotten {
				s.passed++
			}
		}
		return nil
	case !errors.As(err, &data) && (to-from == 1 || !errors.Is(err, ErrTooLong)):
		s.stoppedAt = from
		return inPostgreSQL(err)
	case to-from > 1:
		middle := from + (to-from)/2
		if err := s.part(ctx, from, middle); err != nil {
			return err
		}
		return s.part(ctx, middle, to)
	}
	s.refused, s.causes = append(s.refused, from), append(s.causes, data)
	if s.passed == 0 && len(s.refused) >= enoughRefused && s.breaker.isOpen() {
		// The database still refuses. Trying the rest would only take time.
		s.stoppedAt = to
		return s.breaker.err()
	}
	return nil
}

func (s *settling) states() []string {
	states := make([]string, len(s.causes))
	for i, cause := range s.causes {
		states[i] = cause.State
	}
	return states
}

var errUserLocked = errors.New("the user is locked by another transaction, or has deliveries that wait for that")

// fail settles a delivery that the database refuses as a failed one.
func (s *settling) fail(ctx context.Context, n int, cause error) {
	item := s.items[n]
	s.report.Bug(item.Delivery, cause)
	if item.Failure == nil || item.Failure.Reason != delivery.Internal {
		item.Plan, item.Failure = Plan{Key: item.Plan.Key}, internal()
		settlements, err := s.store.Settle(ctx, []Item{item})
		var data *DataError
		switch {
		case err == nil:
			s.report.Settled(item, settlements[0])
			return
		case !errors.As(err, &data):
			s.postpone([]int{n}, inPostgreSQL(err))
			return
		}
		cause = err
		s.report.Bug(item.Delivery, cause)
	}
	// If not even the failure can be written, nothing can.
	s.postpone([]int{n}, inPostgreSQL(cause))
}

func (s *settling) postpone(which []int, err error) {
	deliveries := make([]*delivery.Delivery, len(which))
	for i, n := range which {
		deliveries[i], s.verdicts[n] = s.items[n].Delivery, delivery.Retry(retryAfter, err)
	}
	var fenced *FencedError
	if !errors.As(err, &fenced) { // else the next owner settles them
		s.report.Postponed(deliveries, err)
	}
}

// inPostgreSQL names the source of an error: errors of a connection name only an address.
func inPostgreSQL(err error) error {
	if errors.Is(err, ErrChanged) {
		return err
	}
	return fmt.Errorf("PostgreSQL: %w", err)
}
