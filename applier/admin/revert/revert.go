// Package revert takes back the effects of applied deliveries, one or a hundred thousand:
// first a plan, then the run. Command and console share it.
package revert

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// batch is how many deliveries one transaction reverts. Their users are locked as
// long as it takes.
const batch = 500

// Filter narrows applied deliveries; zero values do not.
type Filter = postgres.AppliedFilter

// Request says which deliveries are reverted, and how.
type Request struct {
	// IDs names them. If it is nil, Filter selects them.
	IDs    []delivery.ID
	Filter Filter
	// AllowNegative takes back also what leaves a balance below its minimum.
	AllowNegative bool
	// By and Note say who asks, and why.
	By, Note string
}

func (r *Request) options() postgres.RevertOptions {
	return postgres.RevertOptions{By: r.By, Note: r.Note, AllowNegative: r.AllowNegative}
}

// Reverter plans and runs reverts.
type Reverter struct{ store *postgres.Store }

// New returns a reverter.
func New(store *postgres.Store) *Reverter { return &Reverter{store: store} }

// Plan says what the request would do, and changes nothing.
func (r *Reverter) Plan(ctx context.Context, request *Request) (*Plan, error) {
	p := newPlanner(r.store, request)
	if err := r.walk(ctx, request, func(ids []delivery.ID) error { return p.rehearse(ctx, ids) }); err != nil {
		return nil, err
	}
	return &p.plan, p.finish(ctx)
}

// walk calls f with the ids that the request selects, the newest first, so that the
// balances in between are those that there were.
func (r *Reverter) walk(ctx context.Context, request *Request, f func([]delivery.ID) error) error {
	if request.IDs != nil {
		return chunks(newestFirst(request.IDs), f)
	}
	filter := request.Filter
	filter.Limit = batch
	for {
		ids, err := r.store.ListApplied(ctx, filter)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			if err := f(ids); err != nil {
				return err
			}
			filter.Before = ids[len(ids)-1]
		}
		if len(ids) < batch {
			return nil
		}
	}
}

func newestFirst(ids []delivery.ID) []delivery.ID {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, func(a, b delivery.ID) int { return bytes.Compare(b[:], a[:]) })
	return slices.Compact(sorted)
}

func chunks(ids []delivery.ID, f func([]delivery.ID) error) error {
	for chunk := range slices.Chunk(ids, batch) {
		if err := f(chunk); err != nil {
			return err
		}
	}
	return nil
}

// Result is the result of a run, as programs read it.
type Result struct {
	Reverted int `json:"reverted"`
	// AlreadyReverted are those that somebody else reverted since the plan.
	AlreadyReverted int `json:"already_reverted"`
	// LeftOut are those that would cross a limit since the plan was made.
	LeftOut []LeftOut `json:"left_out"`
	// NotApplied are those whose outcome was removed for its age since the plan.
	NotApplied []NotApplied `json:"not_applied"`
}

// Progress is how far a run is.
type Progress struct {
	Total, Done int
	Result      Result
}

// ErrInterrupted says that the run ended early, between two transactions.
var ErrInterrupted = errors.New("interrupted")

// Run reverts the deliveries of the plan, and no others. If ctx is done before, it ends
// between two transactions. The same request continues then, because reverted deliveries
// stay reverted. progress may be nil.
func (r *Reverter) Run(ctx context.Context, request *Request, plan *Plan, progress func(Progress)) (Result, error) {
	result := Result{LeftOut: []LeftOut{}, NotApplied: []NotApplied{}}
	if err := planning.Allow(ctx, plan.Communities, admin.Editor); err != nil {
		return result, err
	}
	done := 0
	err := chunks(plan.ids, func(ids []delivery.ID) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		// A transaction does not stop in the middle, because nobody would know which
		// deliveries are reverted.
		reversals, err := r.store.Revert(context.WithoutCancel(ctx), ids, request.options())
		if err != nil {
			return err
		}
		done += len(ids)
		if err := r.count(ctx, &result, reversals); err != nil {
			return err
		}
		if progress != nil {
			progress(Progress{Total: len(plan.ids), Done: done, Result: result})
		}
		return nil
	})
	return result, err
}

func (r *Reverter) count(ctx context.Context, result *Result, reversals []ledger.Reversal) error {
	var left []ledger.Reversal
	for _, one := range reversals {
		switch one.State {
		case ledger.Reverted:
			result.Reverted++
		case ledger.AlreadyReverted:
			result.AlreadyReverted++
		case ledger.LeftOut:
			left = append(left, one)
		default:
			result.NotApplied = append(result.NotApplied, NotApplied{ID: one.ID, State: cmp.Or(one.Outcome, "removed for its age")})
		}
	}
	ids := map[delivery.ID]bool{}
	for _, l := range left {
		ids[l.User] = true
	}
	users, err := planning.Names(context.WithoutCancel(ctx), r.store, ids)
	for _, one := range left {
		result.LeftOut = append(result.LeftOut, newLeftOut(one, users))
	}
	return err
}

func newLeftOut(r ledger.Reversal, users map[delivery.ID]admin.User) LeftOut {
	return LeftOut{ID: r.ID, User: users[r.User], Reason: r.Failure.Reason, Detail: r.Failure.Detail}
}
