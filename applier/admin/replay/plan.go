package replay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Plan is what a replay would do, as programs read it.
type Plan struct {
	// Selected are the dead letters that run again, LeftOut those that were run
	// again too often.
	Selected int `json:"selected"`
	LeftOut  int `json:"left_out"`
	// VersionsGone are left out, too: the request asks for the version that decided them
	// first, and it is no longer kept. They stay as they are.
	VersionsGone int `json:"version_not_kept"`
	// Malformed are left out, too: the request names neither them nor their reason.
	Malformed int `json:"malformed"`
	// Paused are those of paused webhooks. Their replays wait until the webhooks are
	// resumed. The rest of the plan says what they would do now.
	Paused int `json:"of_paused_webhooks"`
	// ReplayWaits are those of which an earlier replay is parked.
	ReplayWaits int           `json:"replay_waits"`
	Reasons     []ReasonCount `json:"reasons"`
	// Communities are those of the selected ones.
	Communities []planning.InCommunity `json:"communities"`

	Applied   int `json:"would_be_applied"`
	Duplicate int `json:"would_be_duplicates"`
	Skipped   int `json:"would_be_skipped"`
	Fields    int `json:"custom_fields_set"`

	StillFailing []Failing `json:"would_still_fail"`
	// Waiting cannot be decided now, and would be pending.
	Waiting  []Waiting `json:"would_be_pending"`
	Balances []Balance `json:"balances"`
	// NotDead are named deliveries that are not dead letters.
	NotDead []NotDead `json:"no_dead_letters"`
	// Resumes is the interrupted run that continues. The rest of the plan is about the
	// deliveries that are left of it.
	Resumes *Resumes `json:"resumes"`

	run postgres.ReplayRun
	// succeeding are those that would be executed.
	succeeding []delivery.ID
}

// Succeeding is how many would be executed.
func (p *Plan) Succeeding() int { return len(p.succeeding) }

// PlannedAt is when the plan was made, by the database's clock.
func (p *Plan) PlannedAt() time.Time { return p.run.PlannedAt }

// OnlySucceeding returns the part of a plan that would be executed, with its request. It
// names its dead letters, so that it is a run of its own and continues no other.
func (p *Plan) OnlySucceeding(r *Request) (*Request, *Plan) {
	request, plan := *r, *p
	request.Filter = postgres.DeadLetterFilter{IDs: p.succeeding, FailedBy: r.Filter.FailedBy}
	request.part = !r.isByID()
	plan.Selected, plan.StillFailing, plan.Waiting, plan.Resumes = len(p.succeeding), nil, nil, nil
	plan.run = postgres.ReplayRun{ID: delivery.NewID(), RequestedBy: r.By, PlannedAt: p.run.PlannedAt}
	return &request, &plan
}

// ReasonCount says how many failed for a reason.
type ReasonCount struct {
	Reason delivery.Reason `json:"reason"`
	Count  int             `json:"count"`
}

// These are parts of a plan for dead letters.
type (
	Failing = planning.Failing
	Waiting = planning.Waiting
	Balance = planning.Balance
)

// NotDead is a delivery that cannot run again: it is applied already, discarded,
// pending or unknown.
type NotDead struct {
	ID    delivery.ID `json:"id"`
	State string      `json:"state"`
}

// Resumes is a run that an earlier command began.
type Resumes struct {
	RequestedBy string    `json:"requested_by"`
	PlannedAt   time.Time `json:"planned_at"`
	Published   int       `json:"published"`
	Total       int       `json:"total"`
}

// definitions are those at the time of the plan: each is read once.
type definitions struct {
	applier.Definitions
	newest map[string]*webhook.Webhook
	gone   map[versionKey]bool
}

type versionKey struct {
	webhook string
	version int
}

func newDefinitions(d applier.Definitions) *definitions {
	return &definitions{Definitions: d, newest: map[string]*webhook.Webhook{}, gone: map[versionKey]bool{}}
}

func (d *definitions) At(ctx context.Context, id string, _ uint64) (*webhook.Webhook, error) {
	if w, ok := d.newest[id]; ok {
		return w, nil
	}
	w, err := d.Definitions.At(ctx, id, 0)
	if err == nil {
		d.newest[id] = w
	}
	return w, err
}

// isPaused reports whether a webhook executes nothing until it is resumed.
func (d *definitions) isPaused(ctx context.Context, id string) (bool, error) {
	w, err := d.At(ctx, id, 0)
	return w != nil && w.DeletedAt == nil && w.State == webhook.Paused, err
}

// revision returns the revision of the newest definition, 0 if there is none.
func (d *definitions) revision(ctx context.Context, id string) (uint64, error) {
	w, err := d.At(ctx, id, 0)
	if w == nil {
		return 0, err
	}
	return w.Revision, err
}

// lacks reports whether the version that a request asks for is no longer kept.
func (d *definitions) lacks(ctx context.Context, r *Request, l admin.Letter) (bool, error) {
	if r.Mapping != Original || l.FirstVersion == 0 {
		return false, nil
	}
	w, err := d.At(ctx, l.WebhookID, 0)
	if err != nil || w == nil || w.DeletedAt != nil || w.Version == l.FirstVersion {
		return false, err
	}
	key := versionKey{l.WebhookID, l.FirstVersion}
	gone, ok := d.gone[key]
	if !ok {
		original, err := d.Version(ctx, l.WebhookID, l.FirstVersion)
		if err != nil {
			return false, err
		}
		gone = original == nil
		d.gone[key] = gone
	}
	return gone, nil
}

// planner collects a plan.
type planner struct {
	*Replayer
	request     *Request
	definitions *definitions
	rehearsal   *postgres.Rehearsal
	app         *applier.Applier

	plan     Plan
	reasons  map[delivery.Reason]int
	failing  planning.Failures
	waiting  planning.Waits
	balances planning.Balances

	communities planning.Communities
}

// rehearse runs a page as an applier would.
func (p *planner) rehearse(ctx context.Context, page []letter) error {
	var batch []delivery.Delivery
	var letters []letter
	for _, l := range page {
		if err := p.request.check(l.Letter); err != nil {
			return err
		}
		if p.request.leavesOut(l.Letter) {
			p.plan.LeftOut++
			continue
		}
		if p.request.isUnasked(l.Letter) {
			p.plan.Malformed++
			continue
		}
		if gone, err := p.definitions.lacks(ctx, p.request, l.Letter); err != nil {
			return err
		} else if gone {
			p.plan.VersionsGone++
			continue
		}
		revision, err := p.definitions.revision(ctx, l.WebhookID)
		if err != nil {
			return err
		}
		if err := p.count(ctx, l); err != nil {
			return err
		}
		batch = append(batch, p.request.replayOf(l.ID, l.Letter, l.body, revision, p.plan.run.PlannedAt))
		letters = append(letters, l)
	}
	verdicts := p.app.Handle(ctx, batch)
	decisions := p.rehearsal.Decisions()
	for i, v := range verdicts {
		switch {
		case v.Parked:
			p.waiting.Add(letters[i].ID, v.Err)
		case v.IsSettled():
			p.note(letters[i], decisions[0])
			decisions = decisions[1:]
		default:
			return fmt.Errorf("find out what %s would do: %w", letters[i].ID, v.Err)
		}
	}
	return ctx.Err()
}

// count adds a dead letter that would run.
func (p *planner) count(ctx context.Context, l letter) error {
	p.plan.Selected++
	p.reasons[*l.Reason]++
	p.communities[l.Community]++
	if l.WaitingReplay != nil {
		p.plan.ReplayWaits++
	}
	paused, err := p.definitions.isPaused(ctx, l.WebhookID)
	if paused {
		p.plan.Paused++
	}
	return err
}

// note adds one decision to the plan.
func (p *planner) note(l letter, d postgres.Decision) {
	if d.Failure == nil {
		p.plan.succeeding = append(p.plan.succeeding, l.ID)
	}
	switch d.Outcome {
	case delivery.Applied:
		p.plan.Applied++
	case delivery.Duplicate:
		p.plan.Duplicate++
	case delivery.Skipped:
		p.plan.Skipped++
	default:
		p.failing.Add(l.ID, d.Failure)
	}
	p.plan.Fields += len(d.Fields)
	p.balances.Add(l.Community, d.Entries...)
}

// finish puts the plan in order.
func (p *planner) finish(ctx context.Context) error {
	for reason, n := range p.reasons {
		p.plan.Reasons = append(p.plan.Reasons, ReasonCount{reason, n})
	}
	slices.SortFunc(p.plan.Reasons, func(a, b ReasonCount) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Reason, b.Reason))
	})
	p.plan.Communities = p.communities.Sorted()
	p.plan.StillFailing, p.plan.Waiting = p.failing.Sorted(), p.waiting.Sorted()
	ids := map[delivery.ID]bool{}
	p.balances.Users(ids)
	users, err := planning.Names(ctx, p.store, ids)
	if err != nil {
		return err
	}
	p.plan.Balances, err = p.balances.Sorted(ctx, p.store, users)
	return err
}
