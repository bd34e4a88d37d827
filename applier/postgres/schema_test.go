package postgres_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// migrated returns a store on a database whose tables stop at a migration.
func migrated(tb testing.TB, version int64) (*postgres.Store, *sql.DB) {
	tb.Helper()
	s, db := postgrestest.OpenURL(tb, postgrestest.EmptyURL(tb), postgres.Options{Settling: true})
	if version > 0 {
		if _, err := s.MigrateTo(tb.Context(), version); err != nil {
			tb.Fatal(err)
		}
	}
	return s, db
}

func execute(tb testing.TB, db *sql.DB, statement string, args ...any) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), statement, args...); err != nil {
		tb.Fatal(err)
	}
}

// refuses fails unless the store is not ready, and settles nothing, for what want
// says. The error is not the delivery's fault.
func refuses(tb testing.TB, s *postgres.Store, want string) {
	tb.Helper()
	if err := s.Ready(tb.Context()); err == nil || !strings.Contains(err.Error(), want) {
		tb.Errorf("readiness says %v, want %q", err, want)
	}
	_, err := s.Settle(tb.Context(), []applier.Item{plan(tb, "alice@example.com", change(webhook.Add, "coins", 1))})
	var data *applier.DataError
	if err == nil || errors.As(err, &data) || !strings.Contains(err.Error(), want) {
		tb.Errorf("settling says %v, want %q", err, want)
	}
	if lead, err := s.Lead(tb.Context(), postgres.Retention); err == nil || lead != nil {
		tb.Error("it took the lead of a job")
	}
}

// eventually waits until f returns nil.
func eventually(tb testing.TB, f func() error) {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// awaitAlone waits until the backends of other connections to the database have ended: at
// the latest then they report what they did.
func awaitAlone(tb testing.TB, db *sql.DB) {
	tb.Helper()
	eventually(tb, func() error {
		if n := count(tb, db, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"); n > 1 {
			return fmt.Errorf("%d backends are connected", n)
		}
		return nil
	})
}

func TestASchemaThatDoesNotFit(t *testing.T) {
	t.Parallel()

	t.Run("because it is not there", func(t *testing.T) {
		t.Parallel()
		s, _ := migrated(t, 0)
		refuses(t, s, "run `coinhook setup`")
	})

	t.Run("because it is too old, until setup ran", func(t *testing.T) {
		t.Parallel()
		s, db := migrated(t, postgres.OldestSchema-1)
		refuses(t, s, "the tables are too old")
		refuses(t, s, "run `coinhook setup`")
		if n := count(t, db, "SELECT count(*) FROM outcomes"); n != 0 {
			t.Errorf("%d outcomes", n)
		}
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		settle(t, s, plan(t, "alice@example.com", change(webhook.Add, "coins", 1)))
	})

	t.Run("because it is too new, which a running service notices", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{Settling: true})
		settle(t, s, plan(t, "alice@example.com", change(webhook.Add, "coins", 1)))
		execute(t, db, "UPDATE schema_compatibility SET least_reader = $1", postgres.NewestSchema+1)
		eventually(t, func() error {
			if _, err := s.Settle(t.Context(), []applier.Item{plan(t, "alice@example.com", change(webhook.Add, "coins", 1))}); err == nil {
				return errors.New("it still settles")
			}
			return nil
		})
		refuses(t, s, "the tables are too new")
		refuses(t, s, "update this program")
		if _, err := s.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "the tables are too new") {
			t.Errorf("setup says %v", err)
		}
	})
}

// A program settles on the tables of the release after its own, as long as they
// do not say that it cannot.
func TestANewerSchemaThatFits(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	execute(t, db, "INSERT INTO schema_versions (version_id, is_applied) VALUES ($1, true)", postgres.NewestSchema+1)
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	settle(t, s, plan(t, "alice@example.com", change(webhook.Add, "coins", 1)))
	state, err := s.SchemaState(t.Context())
	if err != nil || !state.Current() || state.Version != postgres.NewestSchema+1 {
		t.Errorf("%+v, %v", state, err)
	}
	if applied, err := s.Migrate(t.Context()); err != nil || applied != 0 {
		t.Errorf("setup applied %d migrations: %v", applied, err)
	}
}

// Every statement that settles runs on the oldest schema that the program takes.
// Where this fails, raise oldestSchema to the migration that a statement needs.
func TestTheOldestSchemaIsEnough(t *testing.T) {
	t.Parallel()
	s, db := migrated(t, postgres.OldestSchema)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	state, err := s.SchemaState(t.Context())
	if err != nil || state.Version != postgres.OldestSchema || state.Current() != (postgres.OldestSchema == postgres.NewestSchema) {
		t.Errorf("%+v, %v", state, err)
	}
	addUsers(t, s, "alice@example.com")
	keyed := plan(t, "alice@example.com", change(webhook.Add, "coins", 1))
	withKey(&keyed, "one", "body")
	field := setting(t, setField(t, s, "team", applier.Text), "red", "one", at(5, 0))
	dead := plan(t, "nobody@example.com", change(webhook.Add, "coins", 2))
	settle(t, s, keyed, field, dead)
	settle(t, s, replayOf(dead, plan(t, "alice@example.com", change(webhook.Add, "coins", 2))))
	if got := balances(t, s, "alice@example.com")["coins"]; got != 3 {
		t.Errorf("%d coins", got)
	}
	checkLedger(t, db)
}
