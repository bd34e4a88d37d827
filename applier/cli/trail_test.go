package cli_test

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type trailJSON struct {
	ID         int64          `json:"id"`
	Via        string         `json:"via"`
	Who        string         `json:"who"`
	OSUser     string         `json:"os_user"`
	Address    string         `json:"address"`
	What       string         `json:"what"`
	TargetKind string         `json:"target_kind"`
	TargetID   string         `json:"target_id"`
	Detail     map[string]any `json:"detail"`
	Hash       string         `json:"hash"`
}

// trailed are the entries of the audit trail, oldest first.
func (i *installation) trailed() []trailJSON {
	i.t.Helper()
	var all []trailJSON
	i.json(&all, "trail", "list", "--limit", "1000")
	slices.Reverse(all)
	return all
}

// do runs commands that have to succeed.
func (i *installation) do(commands ...string) {
	i.t.Helper()
	for _, command := range commands {
		if r := i.run(append(strings.Fields(command), "--yes")...); r.code != 0 {
			i.t.Fatalf("coinhook %s: %+v", command, r)
		}
	}
}

func TestAnEmptyTrailSaysWhatWasMeant(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("users add --email ann@example.com")
	for args, want := range map[string]string{
		"--what adduser":         `The commands record nothing called "adduser": did you mean "add user"?`,
		"--target Shop":          `A webhook, delivery or user is found by its id, and "Shop" is not an id`,
		"--what wash --by bob":   "Nothing found.",
		"--what add --since 24h": `did you mean "add `,
	} {
		if r := i.run(append([]string{"trail", "list"}, strings.Fields(args)...)...); r.code != 0 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v, want %s", args, r, want)
		}
	}
	if r := i.run("trail", "list", "--since", "1h", "--until", "2h"); r.code != 2 || !strings.Contains(r.stderr, "--until has to be later than --since") {
		t.Errorf("a span that ends before it begins: %+v", r)
	}
}

func TestTheCommandLeavesATrail(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.env["COINHOOK_USER"], i.env["USER"], i.env["SUDO_USER"] = "the boss", "somebody", "else"
	i.write("shop.yaml", shopYAML)
	i.write("users.csv", "email\nbob@example.com\n")
	letter := newLetter()
	letter.Body.Payload = []byte(`{"password":"hunter2"}`)
	i.do(
		"setup", "webhooks apply -f shop.yaml", "webhooks apply -f shop.yaml", "webhooks rotate-key Shop", "webhooks set-encryption Shop gcm",
		"webhooks pause Shop", "webhooks pause Shop", "webhooks resume Shop", "webhooks disable Shop", "webhooks enable Shop",
		"secrets rotate", "webhooks delete Shop", "webhooks list", "users list",
		"users add --email a@example.com", "users set a@example.com --username ann", "users import users.csv", "users show ann",
		"currencies set gems", "fields set team --type text", "fields delete team",
		"tokens add bot", "tokens revoke bot", "admins add anna --role editor", "admins set anna --disable",
	)
	i.bring(letter)
	id := letter.ID.String()
	i.do("dlq show "+id, "dlq show "+id+" --reveal", "deliveries show "+id+" -o json", "dlq export -f letters.jsonl", "dlq discard "+id+" --note done", "dlq import letters.jsonl")
	want := []string{
		"set up", "apply webhook", "rotate API key", "set encryption", "set state", "set state", "set state", "set state",
		"rotate secrets", "delete webhook", "add user", "change user", "import users", "set currency", "set custom field", "delete custom field",
		"add token", "revoke token", "add account", "change account",
		"show payload", "show payload", "export dead letters", "discard dead letters", "import dead letters",
	}
	var got []string
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range i.trailed() {
		got = append(got, e.What)
		if e.Via != "command" || e.Who != "the boss" || e.OSUser != u.Username+"@"+host || len(e.Hash) != 64 {
			t.Errorf("%+v", e)
		}
		if text := fmt.Sprint(e); strings.Contains(text, "hunter2") || strings.Contains(text, "chk_") || strings.Contains(text, "cht_") || strings.Contains(text, "postgres://") {
			t.Errorf("it holds a secret: %s", text)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A command changes nothing that it cannot record.
func TestNothingIsDoneWithoutATrail(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("webhooks apply -f " + i.write("shop.yaml", shopYAML))
	database := i.env["DATABASE_URL"]
	i.env["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable"
	if r := i.run("webhooks", "rotate-key", "Shop"); r.code != 1 || !strings.Contains(r.stderr, "the audit trail cannot be written") || r.stdout != "" {
		t.Errorf("rotate-key: %+v", r)
	}
	i.env["DATABASE_URL"] = database
	var shop webhookJSON
	if i.json(&shop, "webhooks", "show", "Shop"); shop.Version != 1 {
		t.Errorf("the webhook was changed: %+v", shop)
	}
}

func TestTheAuditChecksTheTrail(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("users add --email a@example.com", "users add --email b@example.com", "users add --email c@example.com", "audit")
	db := i.database()
	for _, statement := range []string{
		"ALTER TABLE audit_trail DISABLE TRIGGER ALL", "UPDATE audit_trail SET who = 'nobody' WHERE id = 2", "ALTER TABLE audit_trail ENABLE TRIGGER ALL",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	r := i.run("audit")
	if r.code != 1 || !strings.Contains(r.stdout, "trail_broken") || !strings.Contains(r.stdout, "Entry 2 of the audit trail was changed") {
		t.Errorf("audit: %+v", r)
	}
	// It cannot be mended, but acknowledged.
	i.do("audit ack trail_broken --note known", "audit")
	if e := i.trailed(); e[len(e)-1].What != "acknowledge findings" {
		t.Errorf("%+v", e)
	}
}

// The command narrows the trail as the console does.
func TestTrailListIsNarrowed(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	if r := i.run("trail", "list", "-o", "json"); r.code != 0 || r.stdout != "[]\n" {
		t.Errorf("an empty trail is %+v", r)
	}
	for _, args := range [][]string{{"users", "add", "--email", "ann@example.com"}, {"currencies", "set", "gems"}} {
		if r := i.run(args...); r.code != 0 {
			t.Fatalf("%q: %+v", args, r)
		}
	}
	var all []trailJSON
	for _, args := range [][]string{{"--what", "add user"}, {"--what", "add user", "--via", "command", "--since", "1h"}, {"--what", "add user", "--community", "default"}} {
		i.json(&all, append([]string{"trail", "list"}, args...)...)
		if len(all) != 1 || all[0].What != "add user" {
			t.Errorf("%q: %+v", args, all)
		}
	}
	for _, args := range [][]string{{"--via", "api"}, {"--by", "nobody"}, {"--until", "2020-01-01"}, {"--target", all[0].TargetID, "--what", "set currency"}} {
		i.json(&all, append([]string{"trail", "list"}, args...)...)
		if len(all) != 0 {
			t.Errorf("%q: %+v", args, all)
		}
		i.json(&all, "trail", "list", "--what", "add user")
	}
}
