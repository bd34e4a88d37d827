package webhook_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestUsersByIDs(t *testing.T) {
	t.Parallel()
	const rest = "mappings: [{currency: coins, operator: add, value: {constant: 1}}]\n"
	for user, want := range map[string]string{
		"user: {by: external, kind: steam, path: player.id}": "steam id",
		"user: {by: id, path: player.id}":                    "id",
		"user: {by: external, path: player.id}":              "user.kind: by: external needs the kind of the id, such as kind: steam",
		"user: {by: external, kind: Steam!, path: a}":        "user.kind: the kind of an external id is 1 to 32 of a-z, 0-9, _ and -",
		"user: {by: email, kind: steam, path: a}":            "user.kind: a kind goes with by: external only",
	} {
		def, err := webhook.Parse([]byte("name: Shop\nstate: active\n" + user + "\n" + rest))
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", user, err, want)
			}
			continue
		}
		text, err := webhook.Format(def)
		if err != nil {
			t.Fatal(err)
		}
		again, err := webhook.Parse(text)
		if err != nil || *again.User != *def.User {
			t.Errorf("%s is written as\n%s and read as %+v, %v", user, text, again.User, err)
		}
		w, err := webhook.Compile(webhook.Record{Definition: def}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if w.Program.UserBy.String() != want || w.LeastFormat() != 3 {
			t.Errorf("%s: by %s in format %d, want %s in 3", user, w.Program.UserBy, w.LeastFormat(), want)
		}
	}
}
