package deadletter

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// discardPage is how many dead letters one transaction gives up.
const discardPage = 1000

// DiscardPlan is what a discard would do.
type DiscardPlan struct {
	Groups []admin.Group
	// Left are the ids that were asked for and are no dead letters.
	Left []Left

	store *postgres.Store
	ids   []delivery.ID
	// at is the moment of the plan: what failed again later is not what was seen.
	at time.Time
}

// Left is a delivery that is not discarded, and why.
type Left struct {
	ID  delivery.ID `json:"id"`
	Why string      `json:"why"`
	// Discarded: somebody has given it up already.
	Discarded bool `json:"-"`
}

// PlanDiscard looks at what the filter lets through, and changes nothing.
func (s *Service) PlanDiscard(ctx context.Context, f Filter) (*DiscardPlan, error) {
	at, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	p := &DiscardPlan{store: s.store, at: at}
	f.OldestFirst, f.Limit = true, 0
	groups := grouping{}
	for d, err := range s.All(ctx, f) {
		if err != nil {
			return nil, err
		}
		groups.add(d)
		p.ids = append(p.ids, d.ID)
	}
	p.Groups = groups.sorted()
	p.Left, err = p.left(ctx, f.IDs)
	return p, err
}

// Communities are those of the dead letters that the plan is about.
func (p *DiscardPlan) Communities() []planning.InCommunity {
	all := planning.Communities{}
	for _, g := range p.Groups {
		all[g.Community] += g.Count
	}
	return all.Sorted()
}

// Count is how many dead letters the plan is about.
func (p *DiscardPlan) Count() int { return len(p.ids) }

// left says of each id that is not in the plan why, once.
func (p *DiscardPlan) left(ctx context.Context, asked []delivery.ID) ([]Left, error) {
	planned := make(map[delivery.ID]bool, len(p.ids))
	for _, id := range p.ids {
		planned[id] = true
	}
	var missing []delivery.ID
	for _, id := range asked {
		if !planned[id] {
			planned[id] = true
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	fates, err := p.store.Fates(ctx, missing)
	if err != nil {
		return nil, err
	}
	all := make([]Left, len(missing))
	for i, id := range missing {
		fate, ok := fates[id]
		all[i] = newLeft(id, fate, ok)
	}
	return all, nil
}

func newLeft(id delivery.ID, f postgres.Fate, known bool) Left {
	left := Left{ID: id, Why: "is no longer a dead letter"}
	switch {
	case !known:
		left.Why = "is unknown, or pending"
	case f.Status == delivery.Success:
		left.Why = "is a success: " + string(f.Outcome)
	case f.DeadLetter:
		left.Why = "is a dead letter of another community"
	case !f.Discarded.At.IsZero():
		left.Discarded = true
		left.Why = fmt.Sprintf("was discarded by %s at %s", f.Discarded.By, f.Discarded.At.UTC().Format(time.RFC3339))
	}
	return left
}

// Run does it, in transactions of their own, and returns how many dead letters are
// gone. Those that failed again or succeeded since the plan are left. Progress is
// told after each transaction; after an error the same call goes on.
func (p *DiscardPlan) Run(ctx context.Context, by, note string, progress func(done int)) (done int, err error) {
	if err := planning.Allow(ctx, p.Communities(), admin.Editor); err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(p.ids, discardPage) {
		if err := ctx.Err(); err != nil {
			return done, context.Cause(ctx)
		}
		gone, err := p.store.DiscardDeadLetters(ctx, chunk, p.at, by, note)
		if err != nil {
			return done, err
		}
		done += len(gone)
		progress(done)
	}
	return done, nil
}
