package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/coinhook/coinhook/applier"
)

// classify marks errors that the written values cause, and says who did not answer in time.
// Errors of connections, resources, locks or a missing table are not marked: they pass, or
// somebody repairs the database.
func classify(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return Silent(err)
	}
	pqErr := pq.As(err)
	if pqErr == nil {
		return err
	}
	switch pqErr.Code.Class() {
	case pqerror.Class("21"), // cardinality violation
		pqerror.Class("22"), // data exception
		pqerror.Class("23"), // integrity constraint violation
		pqerror.Class("54"), // program limit exceeded
		pqerror.Class("P0"): // raised by a function
		return &applier.DataError{Err: err, State: string(pqErr.Code)}
	}
	return err
}

// Silent says that PostgreSQL did not answer. It is nil where nothing failed.
func Silent(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", applier.ErrSilent, err)
}

// tooLong says it of a statement that the database stopped because it took too long.
func tooLong(err error) error {
	if pqErr := pq.As(err); pqErr != nil && pqErr.Code == pqerror.QueryCanceled {
		return fmt.Errorf("%w: %w", applier.ErrTooLong, err)
	}
	return err
}

// ErrRaced: somebody else wrote the same rows meanwhile. Reading again shows what
// they wrote.
var ErrRaced = errors.New("somebody else changed the same meanwhile")

// IsPassing reports whether an error comes from concurrent writers, so that a retry helps.
func IsPassing(err error) bool {
	if errors.Is(err, ErrRaced) {
		return true
	}
	if pqErr := pq.As(err); pqErr != nil {
		switch pqErr.Code {
		case "23505", "40001", "40P01", "55P03": // unique, serialization, deadlock, lock timeout
			return true
		}
	}
	return false
}
