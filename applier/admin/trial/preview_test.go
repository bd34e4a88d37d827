package trial_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

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

// shopWorld has one user, ada, with 10 coins, and the custom field team.
func shopWorld(t *testing.T) (*postgres.Store, admin.User) {
	t.Helper()
	store, db := postgrestest.Open(t, postgres.Options{})
	if _, err := store.ImportUsers(t.Context(), "default", []postgres.NewUser{{Email: "ada@example.com"}}); err != nil {
		t.Fatal(err)
	}
	if err := store.SetField(t.Context(), "default", applier.Field{Name: "team", Type: applier.Text}); err != nil {
		t.Fatal(err)
	}
	_, err := db.ExecContext(t.Context(), `INSERT INTO balances (user_id, currency, amount, entries, updated_at) SELECT id, 'coins', 10, 1, now() FROM users`)
	if err != nil {
		t.Fatal(err)
	}
	ada, err := store.FindUser(t.Context(), "default", "ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return store, admin.User{ID: ada.ID, Email: ada.Email}
}

func try(t *testing.T, store *postgres.Store, event, payload string) (trial.PreviewResult, error) {
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
	return trial.NewPreview(store).Try(t.Context(), w, mapping.Input{Body: []byte(payload), Header: header})
}

func TestTryShowsEachChange(t *testing.T) {
	t.Parallel()
	store, ada := shopWorld(t)
	got, err := try(t, store, "order", `{"email":"ada@example.com","spent":4,"won":"20"}`)
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
		User: &ada,
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
	store, _ := shopWorld(t)
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
			got, err := try(t, store, tc.event, tc.payload)
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
	store, _ := shopWorld(t)
	store.Close()
	if got, err := try(t, store, "order", `{"email":"ada@example.com","spent":1,"won":1}`); err == nil {
		t.Errorf("a database that is away: %+v", got)
	}
}

func TestTryChangesNothing(t *testing.T) {
	t.Parallel()
	store, ada := shopWorld(t)
	for range 2 {
		got, err := try(t, store, "order", `{"email":"ada@example.com","spent":4,"won":0}`)
		if err != nil || got.Changes[0].Balance != "6" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if u, err := store.FindUser(t.Context(), "default", ada.ID.String()); err != nil || u.Balances["coins"] != 10 {
		t.Errorf("trying has left ada %v, %v", u.Balances, err)
	}
}
