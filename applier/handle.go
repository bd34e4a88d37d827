package applier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// retryAfter is the least pause before a batch is retried. The caller lets the pauses
// grow.
const retryAfter = 100 * time.Millisecond

// Definitions finds a webhook's definition at a revision or later. It returns nil if
// there is no such webhook, and an error if it cannot know now.
type Definitions interface {
	At(ctx context.Context, id string, revision uint64) (*webhook.Webhook, error)
	// Version returns one version, or nil if it is no longer kept.
	Version(ctx context.Context, id string, version int) (*webhook.Webhook, error)
	// TookClear reports whether the webhook took bodies that are not encrypted: at a
	// revision, or at a time if the revision is no longer kept.
	TookClear(ctx context.Context, id string, revision uint64, at time.Time) (bool, error)
}

// Evaluate says what a delivery asks for, by the webhook's mapping and by what
// its community has. An error is not the delivery's fault: something that this
// webhook needs is missing now.
type Evaluate func(w *webhook.Webhook, d *delivery.Delivery, c *Community) (Plan, *delivery.Failure, error)

// Reporter reports what happens. It must not block.
type Reporter interface {
	// Settled is called for each delivery that has its outcome.
	Settled(Item, Settlement)
	// Postponed is called with the deliveries that are retried before any others, and why.
	Postponed(deliveries []*delivery.Delivery, err error)
	// Parked is called for a delivery that waits in its own row while others go on.
	Parked(d *delivery.Delivery, reason ParkReason, err error)
	// Bug is called with an error that should not have been possible.
	Bug(d *delivery.Delivery, err error)
	// Stopped is called for each batch while the database refuses one delivery after
	// another, so that nothing is settled; and with nil when that has ended.
	Stopped(cause error)
}

// Silent is a reporter that reports nothing: what would be is not an event.
type Silent struct{}

func (Silent) Settled(Item, Settlement)                     {}
func (Silent) Postponed([]*delivery.Delivery, error)        {}
func (Silent) Parked(*delivery.Delivery, ParkReason, error) {}
func (Silent) Bug(*delivery.Delivery, error)                {}
func (Silent) Stopped(error)                                {}

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

// Planned is a delivery that can be settled or has to wait.
type Planned struct {
	Item Item
	// Park is set on a delivery that has to be parked, and Err says why.
	Park ParkReason
	// Err without Park says that the delivery cannot be planned now, for a reason that
	// is not its own.
	Err error
}

// plannedChanges bound what is planned at once: a delivery of some KiB may make 20,000
// changes.
const plannedChanges = 16 << 10

// Plan returns the plans of the first deliveries, of all unless they make very many
// changes. It takes no lock and writes nothing, so a batch can be planned while the
// previous one commits.
func (a *Applier) Plan(ctx context.Context, batch []delivery.Delivery) []Planned {
	planned := make([]Planned, len(batch))
	view := communityView{source: a.communities}
	changes := 0
	for i := range batch {
		if planned[i] = a.plan(ctx, &view, &batch[i], true); planned[i].Err != nil && planned[i].Park == "" {
			return planned[:i+1] // those behind it would meet the same
		}
		if changes += len(planned[i].Item.Plan.Changes); changes >= plannedChanges {
			return planned[:i+1]
		}
	}
	return planned
}

// Replan makes plans again if the community has changed, with the same definitions.
func (a *Applier) Replan(ctx context.Context, items []Item) {
	view := communityView{source: a.communities}
	for i, item := range items {
		if item.NoOp || item.Failure != nil && !dependsOnCommunity(item.Failure) || item.Webhook == nil {
			continue
		}
		if p := a.planBy(ctx, &view, item, true); p.Err == nil {
			items[i] = p.Item
		}
	}
}

// Handle plans and settles a batch, in its order, and returns a verdict on each
// delivery. A delivery that the engine would park is left alone. So it serves trials
// too: they ask what a webhook would do, paused or not.
func (a *Applier) Handle(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
	verdicts := make([]delivery.Verdict, len(batch))
	items := make([]Item, 0, len(batch))
	places := make([]int, 0, len(batch)) // of the items in the batch
	view := communityView{source: a.communities}
	for i := range batch {
		p := a.plan(ctx, &view, &batch[i], false)
		switch {
		case p.Park != "":
			verdicts[i] = delivery.Parked(p.Err)
		case p.Err != nil:
			verdicts[i] = delivery.Retry(retryAfter, p.Err)
			a.report.Postponed([]*delivery.Delivery{&batch[i]}, p.Err)
		default:
			items, places = append(items, p.Item), append(places, i)
		}
	}
	for i, v := range a.Settle(ctx, items) {
		verdicts[places[i]] = v
	}
	return verdicts
}

var errPaused = errors.New("the webhook is paused: resume it with `coinhook webhooks resume`")

// plan says what a delivery asks for. Live deliveries take effect, others are trials.
func (a *Applier) plan(ctx context.Context, view *communityView, d *delivery.Delivery, live bool) Planned {
	item := Item{Delivery: d}
	if d.Newer {
		return Planned{Item: item, Park: NewerFormat, Err: errNewerMessage} // until this applier is updated
	}
	var err error
	item.Webhook, item.Failure, err = a.definition(ctx, d, live)
	switch {
	case errors.Is(err, errPaused):
		return Planned{Item: item, Park: Paused, Err: err}
	case errors.Is(err, errBehind), errors.Is(err, errNewer):
		// It may last, and other webhooks need not wait.
		return Planned{Item: item, Park: NewerFormat, Err: err}
	case err != nil:
		return Planned{Item: item, Err: err}
	}
	if item.Failure != nil {
		// The version that a replay asks for is gone. That is no outcome of the delivery.
		item.NoOp = item.Failure.Reason == delivery.InvalidMapping
		return Planned{Item: item}
	}
	return a.planBy(ctx, view, item, live)
}

// definition returns the definition that decides a delivery: the newest one, or the
// version that decided first if a replay asks for it.
func (a *Applier) definition(ctx context.Context, d *delivery.Delivery, live bool) (*webhook.Webhook, *delivery.Failure, error) {
	revision, version := d.Revision, 0
	if d.Replay != nil {
		revision, version = max(revision, d.Replay.Revision), d.Replay.Version
	}
	if d.WebhookID == AdjustmentID && d.Malformed == "" {
		w, err := Adjusting(d.Body)
		if err != nil {
			return nil, &delivery.Failure{Reason: delivery.MalformedDelivery, Detail: "The delivery is not an adjustment: " + err.Error() + "."}, nil
		}
		return w, nil, nil
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
	case live && w.State == webhook.Paused:
		return w, nil, errPaused
	}
	refused, err := a.isUnencrypted(ctx, w, d)
	if err != nil {
		return nil, nil, err
	}
	if refused {
		return w, NotDecrypted(), nil
	}
	if version == 0 || version == w.Version {
		return w, nil, nil
	}
	original, err := a.definitions.Version(ctx, d.WebhookID, version)
	if original != nil && original.IsNewer() {
		return nil, nil, errNewer
	}
	if original == nil && err == nil {
		return w, &delivery.Failure{
			Reason: delivery.InvalidMapping,
			Detail: fmt.Sprintf("Version %d of the webhook is no longer kept: replay with the current one.", version),
		}, nil
	}
	return original, nil, err
}

// isUnencrypted reports whether a delivery came in the clear although its webhook takes
// only encrypted bodies. A delivery accepted before encryption was turned on is executed:
// its revision, which the ingress has signed, proves it. A dead letter has no revision, so
// its time of receipt decides.
func (a *Applier) isUnencrypted(ctx context.Context, w *webhook.Webhook, d *delivery.Delivery) (bool, error) {
	switch {
	case !w.Encryption.IsOn(), d.SaysEncrypted(), d.Replay != nil && d.Replay.Edited:
		return false, nil
	case d.Replay == nil && (d.Revision == 0 || d.Revision == w.Revision):
		return true, nil
	}
	took, err := a.definitions.TookClear(ctx, d.WebhookID, d.Revision, d.ReceivedAt)
	return !took, err
}

// NotDecrypted is the failure of a body that cannot be decrypted, or is not encrypted
// although it has to be. Its detail is the same for every cause.
func NotDecrypted() *delivery.Failure {
	return &delivery.Failure{
		Reason: delivery.DecryptionFailed,
		Detail: "The body could not be decrypted: check the sender's key, mode and form of the body, and that it encrypts JSON.",
	}
}

// catchUp is how long a definition that an ingress knows may be unknown to others.
const catchUp = 30 * time.Second

var (
	errBehind = errors.New("the broker does not show yet the definition that the ingress went by")
	errNewer  = errors.New("a newer version of Coinhook has saved the webhook: update this applier")

	errNewerMessage = errors.New("a newer version of Coinhook has written the delivery: update this applier")
)

// isBehind reports whether the broker knows less than the ingress did, as one of several
// servers may for a moment. If it lasts, the bucket was restored from a backup, and its
// definition decides.
func isBehind(w *webhook.Webhook, d *delivery.Delivery) bool {
	return d.Revision > 0 && (w == nil || w.Revision < d.Revision) && time.Since(d.ReceivedAt) < catchUp
}

// planBy evaluates the item by its webhook. If no key of the webhook decrypts the body,
// and the webhook has been saved since, it tries once more: a sender may use a new key
// before the ingress and this applier have seen it.
func (a *Applier) planBy(ctx context.Context, view *communityView, item Item, live bool) Planned {
	community, err := view.of(ctx, item.Webhook)
	if err != nil {
		return Planned{Item: item, Err: inPostgreSQL(err)}
	}
	item.Plan, item.Failure, err = a.evaluateSafely(item.Webhook, item.Delivery, community)
	if err != nil {
		return Planned{Item: item, Park: KeyUnavailable, Err: err}
	}
	if dependsOnCommunity(item.Failure) {
		newer, err := view.newer(ctx, item.Webhook)
		if err != nil {
			return Planned{Item: item, Err: inPostgreSQL(err)}
		}
		if newer != nil {
			return a.planBy(ctx, view, item, live)
		}
	}
	pinned := item.Delivery.Replay != nil && item.Delivery.Replay.Version != 0
	if item.Failure == nil || item.Failure.Reason != delivery.DecryptionFailed || pinned {
		return Planned{Item: item}
	}
	newer, err := a.newer.than(ctx, item.Webhook, item.Delivery.WebhookID)
	if err != nil {
		return Planned{Item: item, Err: err}
	}
	switch {
	case newer == nil:
		return Planned{Item: item}
	case newer.IsNewer():
		return Planned{Item: Item{Delivery: item.Delivery}, Park: NewerFormat, Err: errNewer}
	case live && newer.State == webhook.Paused:
		return Planned{Item: Item{Delivery: item.Delivery, Webhook: newer}, Park: Paused, Err: errPaused}
	}
	item.Webhook = newer
	return a.planBy(ctx, view, item, live)
}

// dependsOnCommunity reports whether the delivery might succeed with the currencies and
// custom fields as they are now.
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
