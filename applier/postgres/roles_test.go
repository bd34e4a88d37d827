package postgres_test

import (
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// granted returns a database whose roles are as setup makes them.
func granted(tb testing.TB) (owner string, s *postgres.Store, db *sql.DB) {
	tb.Helper()
	owner = postgrestest.URL(tb)
	s, db = postgrestest.OpenURL(tb, owner, postgres.Options{})
	if err := s.GrantRoles(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return owner, s, db
}

func wantNoDifferences(tb testing.TB, s *postgres.Store) {
	tb.Helper()
	if got, err := s.RoleDifferences(tb.Context()); err != nil || len(got) > 0 {
		tb.Errorf("differences %v, %v", got, err)
	}
}

// checkUsersAreSafe fails if an applier's role can change a user, or cannot lock one.
func checkUsersAreSafe(tb testing.TB, owner string) {
	tb.Helper()
	as, err := sql.Open("postgres", postgrestest.As(tb, owner, "coinhook_applier"))
	if err != nil {
		tb.Fatal(err)
	}
	defer as.Close()
	for statement, want := range map[string]string{
		"UPDATE users SET email = 'mallory@example.com', email_key = 'mallory@example.com'":                   "permission denied for table users",
		"UPDATE users SET username = 'mallory', username_key = 'mallory'":                                     "permission denied for table users",
		"UPDATE users SET email = NULL, email_key = NULL, erased_at = now()":                                  "permission denied for table users",
		"UPDATE users SET community = 'other'":                                                                "permission denied for table users",
		"UPDATE users SET id = gen_random_uuid()":                                                             "permission denied for table users",
		"UPDATE users SET created_at = now()":                                                                 "permission denied for table users",
		"INSERT INTO users (id, community, email, email_key) VALUES (gen_random_uuid(), 'default', 'm', 'm')": "permission denied for table users",
		"DELETE FROM users": "permission denied for table users",
		"INSERT INTO external_ids (community, kind, value, user_id) SELECT 'default', 'steam', '1', id FROM users": "permission denied for table external_ids",
		"UPDATE users SET lockable = true": "users_lockable_empty",
	} {
		if _, err := as.ExecContext(tb.Context(), statement); err == nil || !strings.Contains(err.Error(), want) {
			tb.Errorf("%s: %v, want %s", statement, err, want)
		}
	}
	for _, lock := range []string{"FOR NO KEY UPDATE", "FOR UPDATE SKIP LOCKED", "FOR KEY SHARE"} {
		if _, err := as.ExecContext(tb.Context(), "SELECT id FROM users "+lock); err != nil {
			tb.Errorf("%s: %v", lock, err)
		}
	}
}

func TestGrantRoles(t *testing.T) {
	t.Parallel()

	t.Run("has a grant for every table", func(t *testing.T) {
		t.Parallel()
		_, db := postgrestest.Open(t, postgres.Options{})
		rows, err := db.Query(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm')`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var table string
			if err := rows.Scan(&table); err != nil {
				t.Fatal(err)
			}
			if !postgres.HasGrants(table) {
				t.Errorf("roles.go does not say who may do what with the table %s", table)
			}
		}
	})

	t.Run("is repeatable, and takes back what is too much", func(t *testing.T) {
		t.Parallel()
		_, s, db := granted(t)
		wantNoDifferences(t, s)
		execute(t, db, "GRANT UPDATE ON audit_trail TO coinhook_console")
		execute(t, db, "REVOKE INSERT ON outcomes FROM coinhook_applier")
		got, err := s.RoleDifferences(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []postgres.RoleDifference{
			{Role: "coinhook_applier", Table: "outcomes", Is: "DELETE, SELECT, UPDATE", Should: "DELETE, INSERT, SELECT, UPDATE"},
			{Role: "coinhook_console", Table: "audit_trail", Is: "INSERT, SELECT, UPDATE", Should: "INSERT, SELECT"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if err := s.GrantRoles(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNoDifferences(t, s)
	})

	t.Run("lets an applier settle, and no more", func(t *testing.T) {
		t.Parallel()
		owner, s, _ := granted(t)
		addUsers(t, s, "alice@example.com")
		as, _ := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_applier"), postgres.Options{Settling: true})
		settle(t, as, plan(t, "alice@example.com", change(webhook.Add, "coins", 3)))
		if got := balances(t, s, "alice@example.com")["coins"]; got != 3 {
			t.Errorf("%d coins", got)
		}
		if _, err := as.ListAccounts(t.Context()); err == nil || !strings.Contains(err.Error(), "permission denied for table admins") {
			t.Errorf("an applier reads the accounts: %v", err)
		}
		_, err := as.SetCurrency(t.Context(), "default", "coins", func(applier.Currency, bool) (applier.Currency, error) {
			return applier.Currency{Code: "coins"}, nil
		})
		if err == nil || !strings.Contains(err.Error(), "permission denied for table currencies") {
			t.Errorf("an applier sets a currency: %v", err)
		}
	})

	t.Run("lets an applier lock users, and change nothing about them", func(t *testing.T) {
		t.Parallel()
		owner, s, _ := granted(t)
		addUsers(t, s, "alice@example.com")
		checkUsersAreSafe(t, owner)
	})

	t.Run("lets an applier find late users and what is parked", func(t *testing.T) {
		t.Parallel()
		owner, s, db := granted(t)
		as, _ := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_applier"), postgres.Options{Settling: true})
		hook := lateHook("a", "default", webhook.ByEmail)
		waits := letter(t, as, hook, "alice@example.com", time.Now().Add(-time.Hour))
		addUsers(t, s, "alice@example.com")
		ask := asking(hook, time.Now().Add(-24*time.Hour))
		ask.KeysSince = ask.Since
		if diff := cmp.Diff([]delivery.ID{waits.Delivery.ID}, late(t, mustLead(t, as), ask)); diff != "" {
			t.Error(diff)
		}
		runAgain(t, as, waits, delivery.UserFound, plan(t, "alice@example.com", change(webhook.Add, "coins", 2)))
		if got := balances(t, s, "alice@example.com")["coins"]; got != 2 {
			t.Errorf("%d coins", got)
		}
		alice, err := s.FindUser(t.Context(), "default", "alice@example.com")
		if err != nil {
			t.Fatal(err)
		}
		rename := "alice"
		if err := s.ChangeUser(t.Context(), alice.ID, postgres.UserChange{Username: &rename}); err != nil {
			t.Fatal(err)
		}
		settle(t, as, plan(t, "alice@example.com", change(webhook.Add, "coins", 1)))
		checkLedger(t, db)
		if _, err := as.ParkedOfUsers(t.Context(), delivery.Partition{}, 10); err != nil {
			t.Error(err)
		}
	})

	t.Run("takes the right to change users from appliers that had it", func(t *testing.T) {
		t.Parallel()
		owner, s, db := granted(t)
		addUsers(t, s, "alice@example.com")
		execute(t, db, "REVOKE UPDATE (lockable) ON users FROM coinhook_applier")
		execute(t, db, "GRANT UPDATE ON users TO coinhook_applier")
		as, _ := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_applier"), postgres.Options{Settling: true})
		settle(t, as, plan(t, "alice@example.com", change(webhook.Add, "coins", 3)))
		want := []postgres.RoleDifference{{Role: "coinhook_applier", Table: "users", Is: "SELECT, UPDATE", Should: "SELECT, UPDATE (lockable)"}}
		got, err := s.RoleDifferences(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if err := s.GrantRoles(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNoDifferences(t, s)
		settle(t, as, plan(t, "alice@example.com", change(webhook.Add, "coins", 4))) // on the connections of before
		if got := balances(t, s, "alice@example.com")["coins"]; got != 7 {
			t.Errorf("%d coins", got)
		}
		checkUsersAreSafe(t, owner)
	})

	t.Run("takes back a column, too", func(t *testing.T) {
		t.Parallel()
		owner, s, db := granted(t)
		addUsers(t, s, "alice@example.com")
		execute(t, db, "GRANT UPDATE (email) ON users TO coinhook_applier")
		if err := s.GrantRoles(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNoDifferences(t, s)
		checkUsersAreSafe(t, owner)
	})

	t.Run("works for an owner that is no superuser", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse(postgrestest.EmptyURL(t))
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(u.Path, "/")
		_, db := postgrestest.OpenURL(t, u.String(), postgres.Options{})
		execute(t, db, "CREATE ROLE owner_of_"+name+" LOGIN CREATEROLE PASSWORD 'owner'")
		execute(t, db, "ALTER DATABASE "+name+" OWNER TO owner_of_"+name)
		u.User = url.UserPassword("owner_of_"+name, "owner")
		s, _ := postgrestest.OpenURL(t, u.String(), postgres.Options{})
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.GrantRoles(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNoDifferences(t, s)
	})

	t.Run("says what a role may not do that does not own the tables", func(t *testing.T) {
		t.Parallel()
		owner, s, db := granted(t)
		execute(t, db, "REVOKE INSERT ON outcomes FROM coinhook_applier")
		other, _ := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_command"), postgres.Options{})
		if _, err := other.Migrate(t.Context()); err != nil {
			t.Errorf("there is nothing to migrate: %v", err)
		}
		err := other.GrantRoles(t.Context())
		if !errors.Is(err, postgres.ErrNotOwner) || !strings.Contains(err.Error(), `GRANT`) {
			t.Errorf("it says %v", err)
		}
		if err := s.GrantRoles(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := other.GrantRoles(t.Context()); err != nil {
			t.Errorf("there is nothing to grant: %v", err)
		}
	})
}
