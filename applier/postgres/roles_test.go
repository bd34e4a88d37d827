package postgres_test

import (
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
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
