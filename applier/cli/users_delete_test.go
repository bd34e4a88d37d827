package cli_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// findEverywhere returns the columns of all tables that hold a text.
const findEverywhere = `
SELECT coalesce(string_agg(table_name, ', '), '') FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
    AND query_to_xml(format('SELECT 1 FROM %I t WHERE strpos(lower(t::text), %L) > 0 OR strpos(t::text, %L) > 0 LIMIT 1', table_name, $1::text,
        encode(convert_to($1::text, 'UTF8'), 'hex')), true, false, '')::text LIKE '%<row%'`

func TestUsersDelete(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("shop.yaml", "name: Shop\nstate: active\nuser: {by: email, path: user}\n"+
		"mappings:\n- {currency: coins, operator: add, value: {path: coins}}\n- {field: team, value: {path: team}}\n")
	i.do("fields set team --type text", "users add --email erase-me@example.com --username eraseme --external steam=eraseme7",
		"users add --email bob@example.com", "webhooks apply -f shop.yaml")
	var w struct {
		ID      string
		Version int
	}
	i.json(&w, "webhooks", "show", "Shop")
	i.publish(w.ID, 0, `{"user":"erase-me@example.com","coins":5,"team":"eraseme fans"}`)
	i.publish(w.ID, 0, `{"user":"erase-me@example.com","coins":-5,"team":"red"}`) // a dead letter
	i.publish(w.ID, 0, `{"user":"bob@example.com","coins":7,"team":"blue"}`)
	i.settleAll()
	var u struct{ ID string }
	i.json(&u, "users", "show", "steam=eraseme7")
	if r := i.run("users", "delete", "eraseme"); r.code != 2 || !strings.Contains(r.stderr, "1 dead letter") {
		t.Errorf("without a confirmation: %+v", r)
	}
	backup := i.query("SELECT email || ' ' || email_key FROM users WHERE username = 'eraseme'")
	i.do("users delete eraseme")
	for _, text := range []string{"erase-me@example.com", "eraseme"} {
		if tables := i.query(findEverywhere, text); tables != "" {
			t.Errorf("%s is still in %s", text, tables)
		}
	}
	if r := i.run("users", "show", "erase-me@example.com"); r.code != 1 {
		t.Errorf("the user is still found: %+v", r)
	}
	if r := i.run("audit"); r.code != 0 {
		t.Errorf("audit: %+v", r)
	}
	var bob struct{ Balances map[string]string }
	i.json(&bob, "users", "show", "bob@example.com")
	if bob.Balances["coins"] != "7" {
		t.Errorf("bob has %v", bob.Balances)
	}

	// A restore brings the names back.
	email, key, _ := strings.Cut(backup, " ")
	i.query("UPDATE users SET email = $2, email_key = $3, erased_at = NULL WHERE id::text = $1 RETURNING ''", u.ID, email, key)
	if r := i.run("audit"); r.code != 1 || !strings.Contains(r.stdout, "user_not_erased") {
		t.Errorf("after a restore: %+v", r)
	}
	i.do("audit --repair", "audit")
	if tables := i.query(findEverywhere, "erase-me@example.com"); tables != "" {
		t.Errorf("after a repair it is still in %s", tables)
	}
}

func (i *installation) query(statement string, args ...any) (text string) {
	i.t.Helper()
	_, db := postgrestest.OpenURL(i.t, i.env["DATABASE_OWNER_URL"], postgres.Options{})
	if err := db.QueryRow(statement, args...).Scan(&text); err != nil {
		i.t.Fatal(err)
	}
	return text
}
