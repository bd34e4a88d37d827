package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
)

// Accounts of a database from before the roles by community keep what they could do:
// an admin could do everything, a viewer could look at all communities.
func TestAccountsOfBeforeTheRolesByCommunity(t *testing.T) {
	t.Parallel()
	s, db := migrated(t, 29)
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, a := range []struct {
		name, role string
		disabled   bool
	}{{"ann", "admin", false}, {"bob", "viewer", false}, {"carol", "admin", true}, {"dave", "viewer", true}} {
		execute(t, db, "INSERT INTO admins (name, password, role, disabled, created_at) VALUES ($1, 'hash of '||$1::text, $2, $3, $4)", a.name, a.role, a.disabled, made)
		execute(t, db, "INSERT INTO sessions (token, admin, created_at, used_at) VALUES (sha256($1::text::bytea), $1, $2, $2)", a.name, made)
	}
	if _, err := s.MigrateTo(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	account := func(name string, role admin.Role, grants admin.Grants, disabled bool) admin.Account {
		return admin.Account{Name: name, Role: role, Grants: grants, Disabled: disabled, CreatedAt: made, PasswordHash: "hash of " + name}
	}
	everywhere := admin.Grants{admin.Everywhere: admin.Viewer}
	want := []admin.Account{
		account("ann", admin.RoleOwner, admin.OwnerGrants(), false), account("bob", admin.RoleMember, everywhere, false),
		account("carol", admin.RoleOwner, admin.OwnerGrants(), true), account("dave", admin.RoleMember, everywhere, true),
	}
	got, err := s.ListAccounts(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, accounts (-want +got):\n%s", err, diff)
	}
	for _, a := range got {
		for _, community := range []string{"default", "made later"} {
			mayLook, mayEdit := a.Grants.In(community) >= admin.Viewer, a.Grants.In(community) >= admin.Editor
			if !mayLook || mayEdit != (a.Role == admin.RoleOwner) {
				t.Errorf("%s in %s: looks %t, edits %t", a.Name, community, mayLook, mayEdit)
			}
		}
	}
	if n := count(t, db, "SELECT count(*) FROM admin_grants"); n != 2 {
		t.Errorf("%d grants", n)
	}
	if n := count(t, db, "SELECT count(*) FROM sessions"); n != 4 {
		t.Errorf("%d of 4 sessions are left", n)
	}
	for _, role := range []string{"admin", "viewer"} {
		if _, err := db.ExecContext(t.Context(), "UPDATE admins SET role = $1", role); err == nil {
			t.Errorf("the role %s of before is still taken", role)
		}
	}
	// A setup of now takes the rest of the way, and the accounts stay as they are.
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := s.ListAccounts(t.Context()); err != nil || cmp.Diff(want, again) != "" {
		t.Errorf("after all migrations: %v %v", again, err)
	}
}
