package postgres_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// A role of a program cannot write a time that would take a whole list away.
func TestNoRoleWritesATimeThatCannotBeRead(t *testing.T) {
	t.Parallel()
	owner, s, db := granted(t)
	addUsers(t, s, "alice@example.com")
	settle(t, s, plan(t, "alice@example.com", change(webhook.Add, "coins", 3)))
	_, applier := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_applier"), postgres.Options{})
	_, command := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_command"), postgres.Options{})
	for _, as := range []*sql.DB{applier, command, db} {
		for _, at := range []string{"infinity", "-infinity", "10000-01-01", "0044-01-01 BC"} {
			for _, column := range []string{"finished_at", "received_at"} {
				_, err := as.Exec("UPDATE outcomes SET "+column+" = $1", at)
				if err == nil || !strings.Contains(err.Error(), "outcomes_"+column+"_readable") {
					t.Errorf("%s = %s: %v", column, at, err)
				}
			}
		}
	}
	list, err := s.ListOutcomes(t.Context(), postgres.OutcomeFilter{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Errorf("listed %d, %v", len(list), err)
	}
}

// Each time of each table has the check, also of tables that are added later.
func TestEveryTimeCanBeRead(t *testing.T) {
	t.Parallel()
	_, db := postgrestest.Open(t, postgres.Options{})
	rows, err := db.Query(`
SELECT t.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    AND a.atttypid = 'timestamptz'::regtype
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = t.oid AND k.conname = t.relname || '_' || a.attname || '_readable')`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var without []string
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			t.Fatal(err)
		}
		without = append(without, column)
	}
	if want := []string{"fields.added_at"}; !slices.Equal(without, want) {
		t.Errorf("without a check are %q, want %q: see migrations/00023_times.sql", without, want)
	}
}
