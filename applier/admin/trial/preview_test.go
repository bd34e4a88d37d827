package trial_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var errAway = errors.New("away")

// users has one, ada, with 10 coins.
type users struct{}

func (users) LookUp(_ context.Context, community string, ref applier.UserRef) (postgres.User, error) {
	switch {
	case ref.Value == "away@example.com":
		return postgres.User{}, errAway
	case community != "default" || ref.Value != "ada@example.com":
		return postgres.User{}, postgres.ErrUserNotFound
	}
	return postgres.User{ID: delivery.ID{1}, Email: "ada@example.com", Balances: map[string]int64{"coins": 10}}, nil
}

// communities have one custom field, team.
type communities struct{}

func (communities) Community(_ context.Context, name string) (*applier.Community, error) {
	return &applier.Community{Name: name, Fields: map[string]applier.Field{"team": {Name: "team", Type: applier.Text}}}, nil
}

func (c communities) Reread(ctx context.Context, name string) (*applier.Community, error) {
	return c.Community(ctx, name)
}

const definition = `
name: Shop
state: active
user: {by: email, path: email}
when: [{header: X-Event, equals: order}]
mappings:
  - {currency: coins, operator: subtract, value: {path: spent}}
  - {currency: coins, operator: add, value: {path: won}}
  - {currency: xp, operator: add, value: {constant: "3"}}
  - {field: team, value: {constant: red}}
`

func try(t *testing.T, event, payload string) (trial.PreviewResult, error) {
	t.Helper()
	def, err := webhook.Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	w, err := webhook.Compile(webhook.Record{ID: "wh_1", Definition: def}, 1)
	if err != nil {
		t.Fatal(err)
	}
	header := func(name string) (string, bool) { return event, name == "X-Event" }
	return trial.NewPreview(users{}, communities{}).Try(t.Context(), w, mapping.Input{Body: []byte(payload), Header: header})
}

func TestTryShowsEachChange(t *testing.T) {
	t.Parallel()
	got, err := try(t, "order", `{"email":"ada@example.com","spent":4,"won":"20"}`)
	if err != nil {
		t.Fatal(err)
	}
	change := func(currency, operator, amount, before, after string) trial.PreviewChange {
		return trial.PreviewChange{
			Change:        admin.Change{Currency: currency, Operator: operator, Amount: amount, Balance: after},
			BalanceBefore: before,
		}
	}
	want := trial.PreviewResult{
		WebhookID: "wh_1", Webhook: "Shop", Community: "default",
		Status: delivery.Success, Outcome: new(delivery.Applied),
		User: &admin.User{ID: delivery.ID{1}, Email: "ada@example.com"},
		Changes: []trial.PreviewChange{
			change("coins", "subtract", "4", "10", "6"),
			change("coins", "add", "20", "6", "26"),
			change("xp", "add", "3", "0", "3"),
		},
		Fields: []admin.Field{{Field: "team", Value: "red"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTrySaysWhyNot(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		about, event, payload string
		reason                delivery.Reason // empty for skipped
		user                  bool
	}{
		{"a condition does not hold", "refund", `{}`, "", false},
		{"no JSON", "order", `{`, delivery.InvalidJSON, false},
		{"nobody", "order", `{"email":"bob@example.com","spent":1,"won":1}`, delivery.UserNotFound, false},
		{"too little", "order", `{"email":"ada@example.com","spent":11,"won":100}`, delivery.InsufficientBalance, true},
	} {
		t.Run(tc.about, func(t *testing.T) {
			t.Parallel()
			got, err := try(t, tc.event, tc.payload)
			if err != nil || len(got.Changes) != 0 || (got.User != nil) != tc.user {
				t.Fatalf("%+v, %v", got, err)
			}
			if tc.reason == "" {
				if got.Status != delivery.Success || *got.Outcome != delivery.Skipped || got.Reason != nil {
					t.Errorf("%+v", got)
				}
			} else if got.Status != delivery.Failed || got.Outcome != nil || *got.Reason != tc.reason || *got.Detail == "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestTryDoesNotGuess(t *testing.T) {
	t.Parallel()
	if _, err := try(t, "order", `{"email":"away@example.com","spent":1,"won":1}`); !errors.Is(err, errAway) {
		t.Errorf("a database that is away: %v", err)
	}
}
