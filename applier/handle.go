package applier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// retryAfter is the least pause before a batch is tried again; whoever tries
// again makes the pauses grow.
const retryAfter = 100 * time.Millisecond

// asideFor is how long a delivery waits for what only its own webhook needs. It is
// handed out again for each look, so it is no shorter than an admin notices, and
// longer for one that was looked at for half a minute and more: there may be many.
func asideFor(d *delivery.Delivery) time.Duration {
	switch {
	case d.Attempt <= 6:
		return 5 * time.Second
	case d.Attempt <= 12:
		return 10 * time.Second
	default:
		return 20 * time.Second // less than what the reporter forgets after
	}
}

// Definitions finds what a webhook says, at a revision or later. It returns nil
// where there is no such webhook, and an error when it cannot know now.
type Definitions interface {
	At(ctx context.Context, id string, revision uint64) (*webhook.Webhook, error)
	// Version returns one version, or nil where it is not kept any more.
	Version(ctx context.Context, id string, version int) (*webhook.Webhook, error)
}

// Evaluate says what a delivery asks for, by the webhook's mapping and by what
// its community has. An error is not the delivery's fault: something that this
// webhook needs is missing now.
type Evaluate func(w *webhook.Webhook, d *delivery.Delivery, c *Community) (Plan, *delivery.Failure, error)

// Reporter is told what happens. It must not block.
type Reporter interface {
	// Settled is told each delivery that has its outcome.
	Settled(Item, Settlement)
	// Postponed is told which deliveries are tried again before any others, and why.
	Postponed(deliveries []*delivery.Delivery, err error)
	// SetAside is told a delivery that waits while others go on, and for what.
	SetAside(d *delivery.Delivery, err error)
	// Bug is told what should not have been possible.
	Bug(d *delivery.Delivery, err error)
	// Stopped is told, for each batch, that the database refuses one delivery after
	// the other, so that nothing is settled; and nil when that has ended.
	Stopped(cause error)
}

// Applier settles deliveries.
type Applier struct {
	definitions Definitions
	newer       newerDefinitions
	communities Communities
	evaluate    Evaluate
	store       Store
	report      Reporter
	breaker     breaker
}

// New returns an applier.
func New(definitions Definitions, communities Communities, evaluate Evaluate, store Store, report Reporter) *Applier {
	return &Applier{
		definitions: definitions,
		newer:       newerDefinitions{definitions: definitions, none: map[string]noNewer{}},
		communities: communities, evaluate: evaluate, store: store, report: report,
	}
}

// Handle settles a batch, in its order, and returns a verdict on each delivery.
func (a *Applier) Handle(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
	verdicts := make([]delivery.Verdict, len(batch))
	items := make([]Item, 0, len(batch))
	places := make([]int, 0, len(batch)) // of the items in the batch
	view := communityView{source: a.communities}
	for i := range batch {
		item, verdict := a.plan(ctx, &view, &batch[i])
		if !verdict.IsSettled() {
			verdicts[i] = verdict
			a.reportOpen(&batch[i], verdict)
			continue
		}
		items, places = append(items, item), append(places, i)
	}
	for i, v := range a.settle(ctx, items) {
		verdicts[places[i]] = v
	}
	return verdicts
}

func (a *Applier) reportOpen(d *delivery.Delivery, v delivery.Verdict) {
	if v.Aside {
		a.report.SetAside(d, v.Err)
		return
	}
	a.report.Postponed([]*delivery.Delivery{d}, v.Err)
}

// plan says what a delivery asks for. A verdict other than Settled means that
// this cannot be said now.
func (a *Applier) plan(ctx context.Context, view *communityView, d *delivery.Delivery) (Item, delivery.Verdict) {
	if d.Newer {
		return Item{}, delivery.SetAside(asideFor(d), errNewerMessage) // until this applier is updated
	}
	item := Item{Delivery: d}
	var err error
	item.Webhook, item.Failure, err = a.definition(ctx, d)
	switch {
	case errors.Is(err, errBehind):
		return Item{}, delivery.SetAside(behindAside, err) // it may last, and is no matter of others
	case errors.Is(err, errNewer):
		return Item{}, delivery.SetAside(asideFor(d), err) // until this applier is updated
	case err != nil:
		return Item{}, delivery.Retry(retryAfter, err)
	}
	if item.Failure != nil {
		// The version that a replay asks for is gone. That is no outcome of the delivery.
		item.NoOp = item.Failure.Reason == delivery.InvalidMapping
		return item, delivery.Settled
	}
	return a.planBy(ctx, view, item)
}

// definition finds what decides a delivery: the newest definition, or for a
// replay that asks for it the version that decided first.
func (a *Applier) definition(ctx context.Context, d *delivery.Delivery) (*webhook.Webhook, *delivery.Failure, error) {
	revision, version := d.Revision, 0
	if d.Replay != nil {
		revision, version = max(revision, d.Replay.Revision), d.Replay.Version
	}
	w, err := a.definitions.At(ctx, d.WebhookID, revision)
	switch {
	case err != nil:
		return nil, nil, err
	case isBehind(w, d):
		return nil, nil, errBehind
	case d.Malformed != "":
		return w, &delivery.Failure{Reason: delivery.MalformedDelivery, Detail: d.Malformed}, nil
	case d.Replay != nil && d.WebhookID == "":
		return nil, &delivery.Failure{Reason: delivery.MalformedDelivery, Detail: "The delivery names no webhook."}, nil
	case w == nil || w.DeletedAt != nil:
		return w, &delivery.Failure{
			Reason: delivery.WebhookDeleted,
			Detail: "The webhook was deleted before this delivery was executed.",
		}, nil
	case w.IsNewer():
		return nil, nil, errNewer
	case version == 0 || version == w.Version:
		return w, nil, nil
	}
	original, err := a.definitions.Version(ctx, d.WebhookID, version)
	if original != nil && original.IsNewer() {
		return nil, nil, errNewer
	}
	if original == nil && err == nil {
		return w, &delivery.Failure{
			Reason: delivery.InvalidMapping,
			Detail: fmt.Sprintf("Version %d of the webhook is not kept any more: replay by the current one.", version),
		}, nil
	}
	return original, nil, err
}

// behindAside is how long a delivery waits for its definition at a time.
const behindAside = time.Second

// catchUp is how long after a delivery was received what its ingress knew may be
// news to others.
const catchUp = 30 * time.Second

var (
	errBehind = errors.New("the broker does not show yet the definition that the ingress went by")
	errNewer  = errors.New("a newer version of Coinhook has saved the webhook: update this applier")

	errNewerMessage = errors.New("a newer version of Coinhook has written the delivery: update this applier")
)

// isBehind reports whether the broker answered with less than the ingress knew, as one
// of several servers may for a moment. Where that lasts, a bucket came back from a
// backup, and what there is decides.
func isBehind(w *webhook.Webhook, d *delivery.Delivery) bool {
	return d.Revision > 0 && (w == nil || w.Revision < d.Revision) && time.Since(d.ReceivedAt) < catchUp
}

// planBy evaluates the item by its webhook. What no key of the webhook decrypts
// is tried once more if the webhook has been saved since: a sender may use a new
// key before the ingress and this applier have seen it.
func (a *Applier) planBy(ctx context.Context, view *communityView, item Item) (Item, delivery.Verdict) {
	community, err := view.of(ctx, item.Webhook)
	if err != nil {
		return Item{}, delivery.Retry(retryAfter, inPostgreSQL(err))
	}
	item.Plan, item.Failure, err = a.evaluateSafely(item.Webhook, item.Delivery, community)
	if err != nil {
		return Item{}, delivery.SetAside(asideFor(item.Delivery), err)
	}
	if dependsOnCommunity(item.Failure) {
		newer, err := view.newer(ctx, item.Webhook)
		if err != nil {
			return Item{}, delivery.Retry(retryAfter, inPostgreSQL(err))
		}
		if newer != nil {
			return a.planBy(ctx, view, item)
		}
	}
	pinned := item.Delivery.Replay != nil && item.Delivery.Replay.Version != 0
	if item.Failure == nil || item.Failure.Reason != delivery.DecryptionFailed || pinned {
		return item, delivery.Settled
	}
	newer, err := a.newer.than(ctx, item.Webhook, item.Delivery.WebhookID)
	if err != nil {
		return Item{}, delivery.Retry(retryAfter, err)
	}
	if newer == nil {
		return item, delivery.Settled
	}
	item.Webhook = newer
	return a.planBy(ctx, view, item)
}

// dependsOnCommunity: by a currency or custom field as it is now it might not have
// failed.
func dependsOnCommunity(f *delivery.Failure) bool {
	if f == nil {
		return false
	}
	switch f.Reason {
	case delivery.InvalidAmount, delivery.AmountOutOfRange, delivery.InvalidFieldValue, delivery.InvalidMapping:
		return true
	}
	return false
}

// evaluateSafely turns a panic into a failure of the one delivery: its payload
// must not stop all others.
func (a *Applier) evaluateSafely(w *webhook.Webhook, d *delivery.Delivery, c *Community) (plan Plan, failure *delivery.Failure, err error) {
	defer func() {
		if v := recover(); v != nil {
			a.report.Bug(d, fmt.Errorf("panic while evaluating the mapping: %v", v))
			plan, failure, err = Plan{}, internal(), nil
		}
	}()
	return a.evaluate(w, d, c)
}

func internal() *delivery.Failure {
	return &delivery.Failure{
		Reason: delivery.Internal,
		Detail: "An error in Coinhook stopped this delivery: look for its id in the applier's log.",
	}
}
