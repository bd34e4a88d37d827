package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAWrongURLIsNamedByItsSetting: who has set a variable does not look for a flag.
func TestAWrongURLIsNamedByItsSetting(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("no URL\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "postgres://user:secret@127.0.0.1:1/coinhook"
	for name, tt := range map[string]struct {
		env  map[string]string
		args string
		want string
	}{
		"the broker's variable":        {map[string]string{"NATS_URL": "http://a", "DATABASE_URL": good}, "webhooks list", "coinhook: NATS_URL: want nats://"},
		"the broker's file":            {map[string]string{"NATS_URL_FILE": file, "DATABASE_URL": good}, "webhooks list", "coinhook: NATS_URL_FILE: want nats://"},
		"the broker's flag":            {map[string]string{"NATS_URL": "nats://a", "DATABASE_URL": good}, "webhooks list --nats-url http://a", "coinhook: --nats-url: want nats://"},
		"the broker's, of a setup":     {map[string]string{"NATS_URL": "http://a", "DATABASE_URL": good}, "setup", "coinhook: NATS_URL: want nats://"},
		"the database's variable":      {map[string]string{"DATABASE_URL": "mysql://a"}, "users list", "coinhook: DATABASE_URL: want the URL"},
		"the database's file":          {map[string]string{"DATABASE_URL_FILE": file}, "users list", "coinhook: DATABASE_URL_FILE: want the URL"},
		"the database's flag":          {nil, "users list --database-url mysql://a", "coinhook: --database-url: want the URL"},
		"the beginning of URLs":        {map[string]string{"INGRESS_URL": "hooks.example.com", "DATABASE_URL": good}, "webhooks list", `coinhook: INGRESS_URL="hooks.example.com": want a URL such as https://`},
		"the database's, of its owner": {map[string]string{"DATABASE_OWNER_URL": "mysql://a"}, "setup", "coinhook: DATABASE_OWNER_URL: want the URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := &installation{t: t, dir: t.TempDir(), env: tt.env}
			began := time.Now()
			if r := i.run(strings.Fields(tt.args)...); r.code != 2 || !strings.HasPrefix(r.stderr, tt.want) {
				t.Errorf("exit %d, %q, want exit 2 and %q", r.code, r.stderr, tt.want)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v: nothing is to be waited for", took)
			}
		})
	}
}

// TestSilentServersAreNamed: an operator has named servers, and wants to know which of them
// does not answer.
func TestSilentServersAreNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		args string
		want []string
	}{
		"the broker": {
			map[string]string{"NATS_URL": "nats://admin:secret@127.0.0.1:1"},
			"webhooks list",
			[]string{"NATS does not answer at nats://***@127.0.0.1:1: check that it runs, and that NATS_URL names it"},
		},
		"the broker, of a setup": {
			map[string]string{"NATS_URL": "nats://admin:secret@127.0.0.1:1", "DATABASE_URL": "postgres://user:secret@127.0.0.1:1/coinhook"},
			"setup --wait 1s",
			[]string{"NATS does not answer at nats://***@127.0.0.1:1: check that it runs, and that NATS_URL names it"},
		},
		"the database": {
			map[string]string{"DATABASE_URL": "postgres://user:secret@127.0.0.1:1/coinhook"},
			"users list",
			[]string{"127.0.0.1:1: connect: connection refused", "check that PostgreSQL runs, and that DATABASE_URL names it"},
		},
		"no broker": {nil, "webhooks list --nats-url nats://127.0.0.1:1", []string{"that --nats-url names it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := &installation{t: t, dir: t.TempDir(), env: tt.env}
			r := i.run(strings.Fields(tt.args)...)
			for _, want := range tt.want {
				if r.code != 1 || !strings.Contains(r.stderr, want) {
					t.Errorf("exit %d, %q, want exit 1 and %q", r.code, r.stderr, want)
				}
			}
			if strings.Contains(r.stderr, "make run") || strings.Contains(r.stderr, "secret") {
				t.Errorf("an operator is told of the development stack, or a password: %q", r.stderr)
			}
		})
	}
}
