package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Publisher stores deliveries in the stream, in their order.
type Publisher interface {
	PublishAll(ctx context.Context, all []delivery.Delivery) error
}

// Replayer plans and runs replays.
type Replayer struct {
	store       *postgres.Store
	definitions applier.Definitions
	evaluate    applier.Evaluate
	publisher   Publisher
}

// New returns a replayer that decides as an applier with these parts does.
func New(store *postgres.Store, definitions applier.Definitions, evaluate applier.Evaluate, publisher Publisher) *Replayer {
	return &Replayer{store: store, definitions: definitions, evaluate: evaluate, publisher: publisher}
}

// Plan says what the request would do, and changes nothing. It continues an interrupted
// run, unless the request starts again.
func (r *Replayer) Plan(ctx context.Context, request *Request, anew bool) (*Plan, error) {
	request.scope = admin.Narrow(ctx, "")
	p := r.newPlanner(request)
	if err := p.find(ctx, anew); err != nil {
		return nil, err
	}
	request.Filter.FailedBy = p.plan.run.PlannedAt
	if err := request.walk(ctx, r.store, p.plan.run.Position, func(page []letter) error { return p.rehearse(ctx, page) }); err != nil {
		return nil, err
	}
	if err := p.explainMissing(ctx); err != nil {
		return nil, err
	}
	return &p.plan, p.finish(ctx)
}

func (r *Replayer) newPlanner(request *Request) *planner {
	p := &planner{
		Replayer: r, request: request,
		definitions: newDefinitions(r.definitions),
		rehearsal:   r.store.Rehearse(),
		plan: Plan{
			Reasons: []ReasonCount{}, StillFailing: []Failing{}, Waiting: []Waiting{}, Balances: []Balance{}, NotDead: []NotDead{},
		},
		reasons: map[delivery.Reason]int{}, failing: planning.Failures{}, waiting: planning.Waits{}, balances: planning.Balances{},
		communities: planning.Communities{},
	}
	p.app = applier.New(p.definitions, r.store, r.evaluate, p.rehearsal, applier.Silent{})
	return p
}

// resumeWithin is how long an interrupted run can be continued. Later the same request
// means the dead letters that exist then.
const resumeWithin = 24 * time.Hour

// find returns the run to continue, or prepares a new one.
func (p *planner) find(ctx context.Context, anew bool) error {
	now, err := p.store.Now(ctx)
	if err != nil {
		return err
	}
	p.plan.run = postgres.ReplayRun{ID: delivery.NewID(), RequestedBy: p.request.By, PlannedAt: now}
	if p.request.isByID() || anew {
		return nil
	}
	run, err := p.store.FindRun(ctx, p.request.selection())
	if run == nil || err != nil || now.Sub(run.PlannedAt) > resumeWithin {
		return err
	}
	p.plan.run = *run
	p.plan.Resumes = &Resumes{RequestedBy: run.RequestedBy, PlannedAt: run.PlannedAt.UTC(), Published: run.Published, Total: run.Total}
	return nil
}

// explainMissing says what the named deliveries are that are not dead letters.
func (p *planner) explainMissing(ctx context.Context) error {
	if !p.request.isByID() {
		return nil
	}
	fates, err := p.store.Fates(ctx, p.request.Filter.IDs)
	if err != nil {
		return err
	}
	for _, id := range p.request.Filter.IDs {
		fate, known := fates[id]
		state := "discarded"
		switch {
		case fate.DeadLetter:
			continue
		case !known:
			state = "unknown or pending"
			if parked, _, ok, err := p.store.FindParked(ctx, id); err != nil {
				return err
			} else if ok {
				state = "pending: parked, " + *parked.Pending.Why
			}
		case fate.Status == delivery.Success:
			state = string(fate.Outcome)
		}
		p.plan.NotDead = append(p.plan.NotDead, NotDead{ID: id, State: state})
	}
	return nil
}

// ErrOvertaken says that the planned deliveries have changed since.
var ErrOvertaken = errors.New("somebody else has replayed some of these since the plan was made, make the plan again")

// claim reserves the run for this command, from its plan until release.
func (r *Replayer) claim(ctx context.Context, request *Request, plan *Plan) (release func(), err error) {
	selection := request.selection()
	if release, err = r.store.Hold(ctx, selection); err != nil {
		return nil, err
	}
	if err := r.begin(ctx, selection, plan); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (r *Replayer) begin(ctx context.Context, selection string, plan *Plan) error {
	now, err := r.store.FindRun(ctx, selection)
	if err != nil {
		return err
	}
	if plan.Resumes != nil {
		if now == nil || now.ID != plan.run.ID || now.Position != plan.run.Position {
			return ErrOvertaken
		}
		return nil
	}
	if now != nil {
		// The plan starts again, or another run has begun since.
		if now.PlannedAt.After(plan.run.PlannedAt) {
			return ErrOvertaken
		}
		if err := r.store.FinishRun(ctx, now.ID); err != nil {
			return err
		}
	}
	plan.run.Total = plan.Selected
	if err := r.store.BeginRun(ctx, selection, plan.run); err != nil {
		return fmt.Errorf("nothing was replayed: %w", err)
	}
	return nil
}
