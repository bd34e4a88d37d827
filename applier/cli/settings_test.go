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
		"the broker's variable":        {map[string]string{"NATS_URL": "http://a", "DATABASE_URL": good}, "webhooks list", `coinhook: NATS_URL="http://a": want nats://`},
		"the broker's file":            {map[string]string{"NATS_URL_FILE": file, "DATABASE_URL": good}, "webhooks list", `coinhook: NATS_URL_FILE="` + file + `": want nats://`},
		"the broker's flag":            {map[string]string{"NATS_URL": "nats://a", "DATABASE_URL": good}, "webhooks list --nats-url http://a", "coinhook: --nats-url: want nats://"},
		"the broker's, of a setup":     {map[string]string{"NATS_URL": "http://a", "DATABASE_URL": good}, "setup", `coinhook: NATS_URL="http://a": want nats://`},
		"the database's variable":      {map[string]string{"DATABASE_URL": "mysql://a"}, "users list", "coinhook: DATABASE_URL: want the URL"},
		"the database's file":          {map[string]string{"DATABASE_URL_FILE": file}, "users list", `coinhook: DATABASE_URL_FILE="` + file + `": want the URL`},
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

// TestASettingIsCheckedByCommandsThatDoWithoutIt: somebody who has mistyped one learns of
// it at once, as from the services.
func TestASettingIsCheckedByCommandsThatDoWithoutIt(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"NATS_URL=http://u:hunter2@a":       `coinhook: NATS_URL="http://…@a": want nats://`,
		"NATS_CREDS=/none/creds":            `coinhook: NATS_CREDS="/none/creds": the file cannot be read`,
		"NATS_NKEY=/":                       `coinhook: NATS_NKEY="/": the file cannot be read`,
		"NATS_CA=/none/ca":                  `coinhook: NATS_CA="/none/ca": the file cannot be read`,
		"NATS_CERT=/none/cert":              `coinhook: NATS_CERT="/none/cert": the file cannot be read`,
		"NATS_KEY=/none/key":                `coinhook: NATS_KEY="/none/key": the file cannot be read`,
		"DATABASE_URL=mysql://u:hunter2@a":  "coinhook: DATABASE_URL: want the URL",
		"COINHOOK_MASTER_KEY=hunter2":       "coinhook: COINHOOK_MASTER_KEY: want 32 random bytes in base64",
		"COINHOOK_MASTER_KEY_FILE=/none/mk": `coinhook: COINHOOK_MASTER_KEY_FILE="/none/mk": the file cannot be read`,
		"DELIVERY_KEY=hunter2":              "coinhook: DELIVERY_KEY: ",
		"INGRESS_URL=hooks.example.com":     `coinhook: INGRESS_URL="hooks.example.com": want a URL`,
		"PENDING_LIMIT=7d":                  `coinhook: PENDING_LIMIT="7d": want a duration`,
		"LOG_LEVEL=loud":                    `coinhook: LOG_LEVEL="loud": want debug, info, warn or error`,
		"LOG_FORMAT=xml":                    `coinhook: LOG_FORMAT="xml": want json or console`,
	} {
		name, value, _ := strings.Cut(setting, "=")
		i := &installation{t: t, dir: t.TempDir(), env: map[string]string{name: value}}
		for _, args := range []string{"webhooks presets", "users list", "webhooks list --community demo", "console"} {
			r := i.run(strings.Fields(args)...)
			if r.code != 2 || r.stdout != "" || !strings.HasPrefix(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 || strings.Contains(r.stderr, "hunter2") {
				t.Errorf("%s coinhook %s: %+v, want exit 2 and one line %s", setting, args, r, want)
			}
		}
		for _, args := range []string{"--help", "help webhooks", "completion bash", "--version"} {
			if r := i.run(strings.Fields(args)...); r.code != 0 {
				t.Errorf("%s coinhook %s: %+v", setting, args, r)
			}
		}
	}
}

func TestAFlagIsUsedInThePlaceOfItsVariable(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{"NATS_URL": "http://a", "DATABASE_URL": "mysql://a"}}
	if r := i.run("webhooks", "presets", "--nats-url", "nats://a", "--database-url", "postgres://a/b"); r.code != 0 {
		t.Errorf("%+v", r)
	}
}

// TestTheHelpListsEachSetting: those of the contract, in the way of the services.
func TestTheHelpListsEachSetting(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	r := i.run("--help")
	for _, name := range []string{
		"NATS_URL", "NATS_CREDS", "NATS_NKEY", "NATS_CA", "NATS_CERT", "NATS_KEY", "DATABASE_URL", "DATABASE_OWNER_URL",
		"COINHOOK_MASTER_KEY", "DELIVERY_KEY", "INGRESS_URL", "PENDING_LIMIT", "COINHOOK_USER", "LOG_LEVEL", "LOG_FORMAT",
	} {
		if !strings.Contains(r.stdout, "\n"+name+" ") {
			t.Errorf("the help lacks %s:\n%s", name, r.stdout)
		}
	}
	if r := i.run("webhooks", "--help"); strings.Contains(r.stdout, "NATS_CREDS") {
		t.Errorf("the help of a group repeats the settings:\n%s", r.stdout)
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
