package postgres_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestSettleFindsAUserWhoseNameMovesMeanwhile: the row that had the identifier is
// locked. Once it is free, another row has it.
func TestSettleFindsAUserWhoseNameMovesMeanwhile(t *testing.T) {
	t.Parallel()
	byUsername := plan(t, "", change(webhook.Add, "xp", 1))
	byUsername.Plan.User = applier.UserRef{By: webhook.ByUsername, Value: "alice"}
	for name, tc := range map[string]struct {
		move  string
		batch []applier.Item
		want  map[string]int64 // coins, by the email before
	}{
		"two users swap": {
			move: `UPDATE users SET email_key = '-' WHERE email_key = 'alice@example.com';
				UPDATE users SET email_key = 'alice@example.com' WHERE email_key = 'bob@example.com';
				UPDATE users SET email_key = 'bob@example.com' WHERE email_key = '-'`,
			batch: []applier.Item{plan(t, "alice@example.com", change(webhook.Add, "coins", 5))},
			want:  map[string]int64{"alice@example.com": 0, "bob@example.com": 5},
		},
		"the row is still found by its username": {
			move: `UPDATE users SET email_key = 'other@example.com' WHERE email_key = 'alice@example.com';
				UPDATE users SET email_key = 'alice@example.com' WHERE email_key = 'bob@example.com'`,
			batch: []applier.Item{plan(t, "alice@example.com", change(webhook.Add, "coins", 5)), byUsername},
			want:  map[string]int64{"alice@example.com": 0, "bob@example.com": 5},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{})
			users := []postgres.NewUser{{Email: "alice@example.com", Username: "alice"}, {Email: "bob@example.com"}}
			if _, err := s.ImportUsers(t.Context(), community, users); err != nil {
				t.Fatal(err)
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.ExecContext(t.Context(), tc.move); err != nil {
				t.Fatal(err)
			}
			for _, got := range settle(t, s, tc.batch...) {
				if !got.Parked {
					t.Errorf("settled as %+v", got)
				}
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			batch := slices.Clone(tc.batch)
			for i := range batch {
				batch[i].WasParked = true
			}
			for i, got := range settle(t, s, batch...) {
				if diff := cmp.Diff(applied, got); diff != "" {
					t.Errorf("delivery %d (-want +got):\n%s", i, diff)
				}
			}
			for email, want := range tc.want {
				got := count(t, db, `SELECT coalesce(sum(b.amount), 0) FROM users u JOIN balances b ON b.user_id = u.id WHERE u.email = $1 AND b.currency = 'coins'`, email)
				if int64(got) != want {
					t.Errorf("%s has %d coins, want %d", email, got, want)
				}
			}
		})
	}
}
