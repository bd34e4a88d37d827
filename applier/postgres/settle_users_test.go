package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestSettleFindsAUserWhoseNameMovesMeanwhile: Settle waits for the row that had
// the identifier. Once the row is free, another row has it.
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
			var settlements []applier.Settlement
			var settleErr error
			done := started(func() { settlements, settleErr = s.Settle(t.Context(), tc.batch) })
			awaitWaiting(t, db, 1, done)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			<-done
			if settleErr != nil {
				t.Fatal(settleErr)
			}
			for i, got := range settlements {
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
