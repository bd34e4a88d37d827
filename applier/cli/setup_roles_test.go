package cli_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// database opens the installation's database as its owner.
func (i *installation) database() *sql.DB {
	i.t.Helper()
	db, err := sql.Open("postgres", i.env["DATABASE_OWNER_URL"])
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { db.Close() }) // the database goes with the test
	return db
}

func TestSetupGrantsToTheRoles(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	db := i.database()
	if r := i.run("setup", "--check"); r.code != 0 {
		t.Errorf("setup --check: %+v", r)
	}
	if _, err := db.Exec("REVOKE INSERT ON outcomes FROM coinhook_applier"); err != nil {
		t.Fatal(err)
	}
	if r := i.run("setup", "--check"); r.code != 1 || !strings.Contains(r.stdout, "grants on outcomes") {
		t.Errorf("setup --check: %+v", r)
	}
	owner := i.env["DATABASE_OWNER_URL"]
	i.env["DATABASE_OWNER_URL"] = ""
	if r := i.run("setup"); r.code != 0 || !strings.Contains(r.stderr, "The database roles were left as they are") || !strings.Contains(r.stderr, "GRANT") {
		t.Errorf("setup by a role that does not own the tables: %+v", r)
	}
	i.env["DATABASE_OWNER_URL"] = owner
	if r := i.run("setup"); r.code != 0 || r.stderr != "" {
		t.Errorf("setup by the owner: %+v", r)
	}
	if r := i.run("setup", "--check"); r.code != 0 {
		t.Errorf("setup --check: %+v", r)
	}
}

// An owner of another database, as that of a development stack, is not taken.
func TestSetupOfAnotherDatabaseThanTheOwners(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.env["DATABASE_URL"] = postgrestest.EmptyURL(t)
	if r := i.run("setup"); r.code != 0 || !strings.Contains(r.stderr, "another database") {
		t.Errorf("setup: %+v", r)
	}
	if r := i.run("users", "list"); r.code != 0 {
		t.Errorf("the database was not set up: %+v", r)
	}
}
