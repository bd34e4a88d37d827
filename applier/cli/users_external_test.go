package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestUsersWithExternalIDs(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var user struct {
		ID, Email, Username string
		External            map[string]string
	}
	i.json(&user, "users", "add", "--email", "ann@example.com", "--external", "steam=7656")
	if user.External["steam"] != "7656" {
		t.Errorf("added as %+v", user)
	}
	i.json(&user, "users", "set", "steam=7656", "--external", "steam=1", "--external", "discord=ann#1")
	if user.External["steam"] != "1" || user.External["discord"] != "ann#1" {
		t.Errorf("set to %+v", user)
	}
	user.External = nil
	i.json(&user, "users", "set", "ann@example.com", "--external", "steam=none")
	if len(user.External) != 1 {
		t.Errorf("taken away: %+v", user)
	}
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"users", "add", "--external", "Steam!=1"}, 2, "1 to 32 of a-z"},
		{[]string{"users", "add", "--external", "discord=ann#1"}, 1, `the discord id "ann#1" is that of the user "ann@example.com" (`},
		{[]string{"users", "add", "--external", "discord=ann#1"}, 1, " --external discord=none"},
		{[]string{"users", "set", "ann@example.com", "--external", "steam="}, 2, "steam=none"},
		{[]string{"users", "set", "steam=7656", "--username", "x"}, 1, "no such user"},
	} {
		if r := i.run(tc.args...); r.code != tc.code || !strings.Contains(r.stderr, tc.says) {
			t.Errorf("%v: %+v, want exit %d and %q", tc.args, r, tc.code, tc.says)
		}
	}
}

// An import takes no name away in silence, and does nothing the second time.
func TestUsersImportTwice(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var file string
	write := func(text string) { file = i.write("users.csv", text) }
	type counts struct{ Added, Updated, Known int }
	imported := func(code int, says string, args ...string) (got counts) {
		t.Helper()
		r := i.run(append([]string{"users", "import", file, "-o", "json"}, args...)...)
		if r.code != code || !strings.Contains(r.stderr+r.stdout, says) {
			t.Fatalf("%v: %+v, want exit %d and %q", args, r, code, says)
		}
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	write("email,username,external:steam\ncarol@example.com,carol,7\nmia@example.com,carol,8\n")
	if got := imported(1, "--move-names"); got.Added != 1 {
		t.Errorf("imported as %+v", got)
	}
	if got := imported(1, "--move-names"); got.Added != 0 || got.Updated != 0 || got.Known != 1 {
		t.Errorf("the second time: %+v", got)
	}
	write("email,username\nmia@example.com,carol\n")
	if got := imported(1, "--move-names"); got.Added != 0 || got.Updated != 0 {
		t.Errorf("without --move-names: %+v", got)
	}
	if got := imported(0, "", "--move-names"); got.Added != 1 {
		t.Errorf("with --move-names: %+v", got)
	}
	if got := imported(0, "", "--move-names"); got.Known != 1 {
		t.Errorf("with --move-names again: %+v", got)
	}
	var carol struct{ Username *string }
	i.json(&carol, "users", "show", "carol@example.com")
	if carol.Username != nil {
		t.Errorf("carol is still called %s", *carol.Username)
	}
	if r := i.run("users", "import", file+".csv"); r.code != 1 {
		t.Errorf("a file that is not there: %+v", r)
	}
}

func TestCommunitiesAndExport(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("shop.yaml", shopYAML)
	i.do("webhooks apply -f shop.yaml", "users add --email ann@example.com", "users add --username bob --community world-2 --create-community")
	var list []struct {
		Community string
		Webhooks  int
	}
	i.json(&list, "communities", "list")
	if len(list) != 2 || list[0].Community != "default" || list[0].Webhooks != 1 || list[1].Community != "world-2" || list[1].Webhooks != 0 {
		t.Errorf("communities are %+v", list)
	}
	var all struct {
		User             struct{ Email string }
		Logs, Deliveries []map[string]any
	}
	i.json(&all, "users", "export", "ann@example.com")
	if all.User.Email != "ann@example.com" || all.Logs == nil || all.Deliveries == nil {
		t.Errorf("exported %+v", all)
	}
	if r := i.run("users", "export", "nobody"); r.code != 1 || r.stdout != "" {
		t.Errorf("nobody: %+v", r)
	}
}
