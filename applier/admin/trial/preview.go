// Package trial says what a definition would do with one payload (Preview) or with the
// last deliveries of its webhook (Backtest). It uses the code of the applier and changes
// nothing.
package trial

import (
	"context"
	"errors"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/ledger"
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

// PreviewUsers finds users with their balances, without locking them.
type PreviewUsers interface {
	LookUp(ctx context.Context, community string, ref applier.UserRef) (postgres.User, error)
}

// Preview tries mappings.
type Preview struct {
	users       PreviewUsers
	communities applier.Communities
}

// NewPreview returns a preview.
func NewPreview(users PreviewUsers, communities applier.Communities) *Preview {
	return &Preview{users: users, communities: communities}
}

// Try evaluates the webhook's mapping on a request. An error says that it could not be found
// out; what is wrong with the payload is in the result.
func (p *Preview) Try(ctx context.Context, w *webhook.Webhook, in mapping.Input) (PreviewResult, error) {
	r := Refused(w, nil)
	community, err := p.communities.Reread(ctx, w.Community)
	if err != nil {
		return PreviewResult{}, err
	}
	plan, failure := mapping.Evaluate(w, in, community)
	switch {
	case failure != nil:
		return Refused(w, failure), nil
	case plan.Skip:
		r.Detail = &plan.Why.Detail
		return r.success(delivery.Skipped), nil
	}
	user, err := p.users.LookUp(ctx, w.Community, plan.User)
	if errors.Is(err, postgres.ErrUserNotFound) {
		return Refused(w, applier.UserNotFound(w)), nil
	}
	if err != nil {
		return PreviewResult{}, err
	}
	named := &admin.User{ID: user.ID, Email: user.Email, Username: user.Username}
	before := map[string]int64{}
	book := ledger.Book{}
	for code, amount := range user.Balances {
		before[code] = amount
		book[ledger.Account{User: user.ID, Currency: code}] = ledger.Balance{Amount: amount}
	}
	entries, failure := book.Apply(user.ID, plan.Changes, community.Currency)
	if failure != nil {
		r = Refused(w, failure)
		r.User = named
		return r, nil
	}
	r.User = named
	for _, e := range entries {
		c, _ := community.Currency(e.Currency)
		r.Changes = append(r.Changes, PreviewChange{
			Change: admin.Change{
				Currency: e.Currency, Operator: string(e.Operator), Amount: c.Format(e.Amount), Balance: c.Format(e.Balance),
			},
			BalanceBefore: c.Format(before[e.Currency]),
		})
		before[e.Currency] = e.Balance
	}
	for _, f := range plan.Fields {
		r.Fields = append(r.Fields, admin.Field{Field: f.Field, Value: f.Value})
	}
	return r.success(delivery.Applied), nil
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

func (r PreviewResult) success(outcome delivery.Outcome) PreviewResult {
	r.Status, r.Outcome = delivery.Success, &outcome
	return r
}
