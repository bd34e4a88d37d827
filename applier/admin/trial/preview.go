// Package trial says what a definition would do with one payload (Preview) or with the
// last deliveries of its webhook (Backtest). It uses the code of the applier and changes
// nothing.
package trial

import (
	"context"
	"errors"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// PreviewResult is a delivery's as programs read it, without an id and times: there is
// no delivery.
type PreviewResult struct {
	WebhookID   string            `json:"webhook_id"`
	Webhook     string            `json:"webhook"`
	Community   string            `json:"community"`
	Status      delivery.Status   `json:"status"`
	Outcome     *delivery.Outcome `json:"outcome"`
	Reason      *delivery.Reason  `json:"reason"`
	Detail      *string           `json:"detail"`
	User        *admin.User       `json:"user"`
	Changes     []PreviewChange   `json:"changes"`
	Fields      []admin.Field     `json:"fields"`
	Attempts    int               `json:"attempts"`
	Replays     int               `json:"replays"`
	DuplicateOf *delivery.ID      `json:"duplicate_of"`
}

// PreviewChange is one change of a balance, with the balance before it too.
type PreviewChange struct {
	admin.Change
	BalanceBefore string `json:"balance_before"`
}

// Preview tries mappings.
type Preview struct{ store *postgres.Store }

// NewPreview returns a preview.
func NewPreview(store *postgres.Store) *Preview { return &Preview{store: store} }

// Try evaluates the webhook's mapping on a request, and decides as Settle does. An error
// means that this could not be computed; faults of the payload are in the result.
func (p *Preview) Try(ctx context.Context, w *webhook.Webhook, in mapping.Input) (PreviewResult, error) {
	community, err := p.store.Reread(ctx, w.Community)
	if err != nil {
		return PreviewResult{}, err
	}
	item := applier.Item{Delivery: &delivery.Delivery{WebhookID: w.ID}, Webhook: w}
	item.Plan, item.Failure = mapping.Evaluate(w, in, community)
	rehearsal := p.store.RehearseAfresh()
	_, err = rehearsal.Settle(ctx, []applier.Item{item})
	if errors.Is(err, applier.ErrChanged) {
		return p.Try(ctx, w, in)
	}
	if err != nil {
		return PreviewResult{}, err
	}
	r := previewOf(w, community, rehearsal.Decisions()[0])
	if r.User == nil {
		return r, nil
	}
	users, err := p.store.UserNames(ctx, []delivery.ID{r.User.ID})
	*r.User = users[r.User.ID]
	return r, err
}

// previewOf is what a decision says. Its user is not named yet.
func previewOf(w *webhook.Webhook, community *applier.Community, d postgres.Decision) PreviewResult {
	r := Refused(w, d.Failure)
	if d.User != (delivery.ID{}) {
		r.User = &admin.User{ID: d.User}
	}
	if d.Failure != nil {
		return r
	}
	r.Status, r.Outcome = delivery.Success, &d.Outcome
	if d.Outcome == delivery.Skipped {
		r.Detail = &d.Skipped.Detail
	}
	for _, e := range d.Entries {
		c, _ := community.Currency(e.Currency)
		r.Changes = append(r.Changes, PreviewChange{
			Change: admin.Change{
				Currency: e.Currency, Operator: string(e.Operator), Amount: c.Format(e.Amount), Balance: c.Format(e.Balance),
			},
			BalanceBefore: c.Format(e.Before()),
		})
	}
	for _, f := range d.Fields {
		r.Fields = append(r.Fields, admin.Field{Field: f.Field, Value: f.Value})
	}
	return r
}

// Adjustment says what an adjustment would do now. Its key is not looked up.
func (p *Preview) Adjustment(ctx context.Context, a applier.Adjustment) (PreviewResult, error) {
	d, err := a.Delivery()
	if err != nil {
		return PreviewResult{}, err
	}
	w, err := applier.Adjusting(d.Body)
	if err != nil {
		return PreviewResult{}, err
	}
	return p.Try(ctx, w, mapping.InputOf(&d, d.Body))
}

// Refused is the result of a payload that fails.
func Refused(w *webhook.Webhook, failure *delivery.Failure) PreviewResult {
	r := PreviewResult{
		WebhookID: w.ID, Webhook: w.Name, Community: w.Community,
		Status: delivery.Failed, Changes: []PreviewChange{}, Fields: []admin.Field{},
	}
	if failure != nil {
		r.Reason, r.Detail = &failure.Reason, &failure.Detail
	}
	return r
}
