package cli_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// Commands say what to do about tables that they cannot work with; setup does it.
func TestCommandsAndTheSchema(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.env["DATABASE_URL"] = postgrestest.EmptyURL(t)
	refused := func(want string) {
		t.Helper()
		for _, command := range []string{"users list", "deliveries list", "audit", "console"} {
			if r := i.run(strings.Fields(command)...); r.code != 1 || !strings.Contains(r.stderr, want) {
				t.Errorf("%s: exit %d, %q, want %q", command, r.code, r.stderr, want)
			}
		}
	}
	refused("run `coinhook setup`")
	if r := i.run("setup"); r.code != 0 {
		t.Fatalf("setup: %+v", r)
	}
	if r := i.run("users", "list"); r.code != 0 {
		t.Errorf("users list: %+v", r)
	}
	db, err := sql.Open("postgres", i.env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // the database is dropped next
	if _, err := db.ExecContext(t.Context(), "UPDATE schema_compatibility SET least_reader = 1000000"); err != nil {
		t.Fatal(err)
	}
	refused("update this program")
	if r := i.run("setup"); r.code != 1 || !strings.Contains(r.stderr, "update this program") {
		t.Errorf("setup: %+v", r)
	}
}
