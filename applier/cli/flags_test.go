package cli_test

import (
	"strings"
	"testing"
)

// A variable of a script that is not set must not widen what a command acts on, and must
// not make a key or a secret.
func TestEmptyFlagsAreRefused(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	for args, flag := range map[string]string{
		"deliveries revert --webhook= --since 1h --yes":             "--webhook",
		"deliveries revert --user= --since 1h --yes":                "--user",
		"deliveries list --webhook=":                                "--webhook",
		"deliveries list --user= --status failed":                   "--user",
		"deliveries list --status=":                                 "--status",
		"deliveries list --reason=":                                 "--reason",
		"logs list --currency=":                                     "--currency",
		"fields history --field=":                                   "--field",
		"trail list --by=":                                          "--by",
		"dlq replay --text= --yes":                                  "--text",
		"users import users.csv --community=":                       "--community",
		"users adjust ann --currency coins --add 1 --note x --key=": "--key",
		"tokens add dashboard --expires=":                           "--expires",
		"webhooks set-secret Shop --secret=":                        "--secret",
		"webhooks set-encryption Shop gcm --aes-key=":               "--aes-key",
		"webhooks try Shop --file=":                                 "--file",
	} {
		if r := i.run(strings.Fields(args)...); r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, flag+" is empty: give it a value, or leave it out") {
			t.Errorf("coinhook %s: %+v", args, r)
		}
	}
	for _, args := range []string{"dlq list --path=", "users set ann --email=", "users set ann --username="} {
		if r := i.run(strings.Fields(args)...); r.code != 2 || !strings.Contains(r.stderr, "no database is named") {
			t.Errorf("coinhook %s means something: %+v", args, r)
		}
	}
}

func TestRevertRefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{"DATABASE_URL": "postgres://127.0.0.1:1/none"}}
	for args, want := range map[string]string{
		"--since 1h --until 2h":      "--until has to be later than --since",
		"--webhook Shop --version 0": "--version is 1 or more, and goes with --webhook",
	} {
		if r := i.run(append([]string{"deliveries", "revert"}, strings.Fields(args)...)...); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("coinhook deliveries revert %s: %+v", args, r)
		}
	}
}
