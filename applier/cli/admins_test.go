package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/applier/cmd/coinhook/serve"
	"github.com/coinhook/coinhook/pkg/service/tlstest"
)

type accountJSON struct {
	Name     string            `json:"name"`
	Role     string            `json:"role"`
	Grants   map[string]string `json:"grants"`
	Disabled bool              `json:"disabled"`
	Password string            `json:"password"`
}

func TestAdmins(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var made accountJSON
	i.json(&made, "admins", "add", "anna", "--role", "admin")
	if made.Name != "anna" || made.Role != "owner" || len(made.Password) < 12 {
		t.Errorf("added %+v", made)
	}
	var again accountJSON
	i.json(&again, "admins", "add", "anna", "--if-missing")
	if again.Role != "owner" || again.Password != "" {
		t.Errorf("added what is there: %+v", again)
	}
	if r := i.run("admins", "add", "anna"); r.code != 1 || !strings.Contains(r.stderr, "there is an account with this name already: `coinhook admins set anna` changes it") {
		t.Errorf("twice: %+v", r)
	}
	if r := i.run("admins", "add", "an na"); r.code != 2 {
		t.Errorf("a bad name: %+v", r)
	}
	var bob, changed accountJSON
	i.json(&bob, "admins", "add", "bob")
	if bob.Role != "member" || bob.Grants["*"] != "viewer" {
		t.Errorf("without a role: %+v", bob)
	}
	i.json(&changed, "admins", "set", "bob", "--disable", "--role", "admin")
	if !changed.Disabled || changed.Role != "owner" || changed.Password != "" {
		t.Errorf("changed to %+v", changed)
	}
	var reset accountJSON
	i.json(&reset, "admins", "set", "anna", "--reset-password")
	if reset.Password == "" || reset.Password == made.Password {
		t.Errorf("a new password: %+v", reset)
	}
	for _, args := range [][]string{{"set", "bob"}, {"set", "bob", "--enable", "--disable"}, {"set", "bob", "--role", "root"}, {"add", "x", "--role", "root"}} {
		if r := i.run(append([]string{"admins"}, args...)...); r.code != 2 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for name, want := range map[string]string{"anne": `no such account: "anne". Did you mean "anna"?`, "nobody": "`coinhook admins list` lists all"} {
		for _, flag := range []string{"--reset-password", "--disable"} {
			if r := i.run("admins", "set", name, flag); r.code != 1 || !strings.Contains(r.stderr, want) {
				t.Errorf("of %s: %+v", name, r)
			}
		}
	}
	owner := map[string]string{"*": "owner"}
	var all []accountJSON
	i.json(&all, "admins", "list")
	if diff := cmp.Diff([]accountJSON{{Name: "anna", Role: "owner", Grants: owner}, {Name: "bob", Role: "owner", Grants: owner, Disabled: true}}, all); diff != "" {
		t.Error(diff)
	}
}

// Roles in communities are given with --community, once or more.
func TestAdminsOfCommunities(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.run("users", "add", "--email", "a@shop.example", "--community", "shop", "--create-community")
	for _, tc := range []struct {
		args []string
		want map[string]string // nil: bad usage
	}{
		{[]string{"add", "eva", "--role", "editor", "--community", "shop", "--community", "default"}, map[string]string{"shop": "editor", "default": "editor"}},
		{[]string{"set", "eva", "--role", "admin", "--community", "shop"}, map[string]string{"shop": "admin", "default": "editor"}},
		{[]string{"set", "eva", "--role", "viewer", "--community", "*"}, map[string]string{"shop": "admin", "default": "editor", "*": "viewer"}},
		{[]string{"set", "eva", "--role", "none", "--community", "*", "--community", "default"}, map[string]string{"shop": "admin"}},
		{[]string{"set", "eva", "--role", "none", "--community", "shop"}, nil},
		{[]string{"set", "eva", "--role", "owner", "--community", "shop"}, nil},
		{[]string{"set", "eva", "--community", "shop"}, nil},
		{[]string{"set", "eva", "--role", "none"}, nil},
		{[]string{"add", "x", "--role", "none"}, nil},
		{[]string{"set", "eva", "--role", "editor"}, map[string]string{"*": "editor"}},
	} {
		var got accountJSON
		args := append([]string{"admins"}, tc.args...)
		if tc.want == nil {
			if r := i.run(args...); r.code != 2 {
				t.Errorf("%v: %+v", tc.args, r)
			}
			continue
		}
		i.json(&got, args...)
		if diff := cmp.Diff(tc.want, got.Grants); diff != "" || got.Role != "member" {
			t.Errorf("%v: %s %s", tc.args, got.Role, diff)
		}
	}
	if r := i.run("admins", "set", "eva", "--role", "editor", "--community", "shpo"); r.code != 1 || !strings.Contains(r.stderr, `did you mean "shop"`) {
		t.Errorf("a typing mistake: %+v", r)
	}
	if r := i.run("users", "list", "--community", "shop", "--community", "default"); r.code != 2 || !strings.Contains(r.stderr, "about one") {
		t.Errorf("two communities of a command about one: %+v", r)
	}
	var owner accountJSON
	i.json(&owner, "admins", "add", "olga", "--role", "owner")
	if r := i.run("admins", "set", "olga", "--role", "viewer"); r.code != 1 || !strings.Contains(r.stderr, "make another account an owner first") {
		t.Errorf("the last owner: %+v", r)
	}
}

// answering runs a command with somebody at the terminal, or a file.
func (i *installation) answering(interactive bool, input string, args ...string) result {
	i.t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Run(i.t.Context(), cli.Process{
		Args: args, Env: i.env, Dir: i.dir, Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: &stderr, Interactive: interactive,
	})
	return result{code, stdout.String(), stderr.String()}
}

func TestAdminsPasswords(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	const good = "correct horse battery"
	for _, tc := range []struct {
		name        string
		interactive bool
		input       string
		args        []string
		code        int
	}{
		{"asked", true, good + "\n" + good + "\n", nil, 0},
		{"typo", true, good + "\n" + good + "x\n", nil, 1},
		{"short", true, "short\nshort\n", nil, 2},
		{"given", false, good + "\n", []string{"--password-stdin"}, 0},
		{"given-short", false, "short\n", []string{"--password-stdin"}, 2},
		{"given-none", false, "", []string{"--password-stdin"}, 2},
	} {
		r := i.answering(tc.interactive, tc.input, append([]string{"admins", "add", tc.name}, tc.args...)...)
		if r.code != tc.code || strings.Contains(r.stdout+r.stderr, good) {
			t.Errorf("%s: %+v, want exit %d", tc.name, r, tc.code)
		}
	}
	if r := i.run("admins", "list"); strings.Count(r.stdout, "viewer") != 2 {
		t.Errorf("there are %s", r.stdout)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	for name, setting := range map[string][2]string{
		"no port": {"CONSOLE_ADDR", "127.0.0.1"}, "no scheme": {"CONSOLE_URL", "coinhook.example"}, "a path": {"CONSOLE_URL", "https://coinhook.example/x"},
		"no level": {"LOG_LEVEL", "loud"}, "no format": {"LOG_FORMAT", "xml"}, "no limit": {"PENDING_LIMIT", "soon"}, "no network": {"TRUSTED_PROXIES", "proxy.example"},
		"no delay": {"SHUTDOWN_DELAY", "-1s"}, "no certificate": {"TLS_CERT", "/none/tls.crt"}, "a key alone": {"TLS_KEY", "/none/tls.key"},
	} {
		j := *i
		j.env = map[string]string{setting[0]: setting[1], "DATABASE_URL": i.env["DATABASE_URL"], "NATS_URL": i.env["NATS_URL"]}
		if r := j.run("console"); r.code != 2 || !strings.Contains(r.stderr, setting[0]) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	i.env["CONSOLE_ADDR"], i.env["LOG_FORMAT"], i.env["SHUTDOWN_DELAY"] = "127.0.0.1:0", "json", "3s"
	log := &lines{came: make(chan string, 100)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- cli.Run(ctx, cli.Process{Args: []string{"console"}, Env: i.env, Dir: i.dir, Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: log, Console: serve.Console})
	}()
	url := log.await(t, "listening")
	answer := func(path string) int {
		t.Helper()
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, path := range []string{"/healthz", "/readyz", "/sign-in"} {
		if status := answer(path); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	stop()
	for answer("/readyz") == http.StatusOK { // ends: without a server there is no answer
	}
	if ready, page := answer("/readyz"), answer("/sign-in"); ready != http.StatusServiceUnavailable || page != http.StatusOK {
		t.Errorf("while it drains /readyz is %d and a page is %d, want 503 and 200", ready, page)
	}
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("exit %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}

// TestTheConsoleWarnsOfClearPasswords: from other machines they have to come over TLS.
func TestTheConsoleWarnsOfClearPasswords(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	pair := tlstest.New(t, t.TempDir(), 1)
	certificate := map[string]string{"TLS_CERT": pair.CertFile, "TLS_KEY": pair.KeyFile}
	for name, tt := range map[string]struct {
		address string
		env     map[string]string
		warns   bool
	}{
		"this machine alone": {"127.0.0.1:0", nil, false},
		"all machines":       {"0.0.0.0:0", nil, true},
		"behind a proxy":     {"0.0.0.0:0", map[string]string{"CONSOLE_URL": "https://coinhook.example"}, false},
		"with TLS":           {"0.0.0.0:0", certificate, false},
	} {
		env := maps.Clone(i.env)
		maps.Copy(env, tt.env)
		env["CONSOLE_ADDR"], env["LOG_FORMAT"] = tt.address, "json"
		var log appliertest.Log
		ctx, stop := context.WithCancel(t.Context())
		stderr := writer(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte(`"listening"`)) {
				stop()
			}
			return log.Write(p)
		})
		if code := cli.Run(ctx, cli.Process{Args: []string{"console"}, Env: env, Dir: i.dir, Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: stderr, Console: serve.Console}); code != 0 {
			t.Errorf("%s: exit %d", name, code)
		}
		stop()
		if warned := strings.Contains(log.String(), "travel unencrypted"); warned != tt.warns {
			t.Errorf("%s: warned %t, want %t: %s", name, warned, tt.warns, log.String())
		}
	}
	env := maps.Clone(i.env)
	maps.Copy(env, certificate)
	env["CONSOLE_URL"] = "http://coinhook.example"
	j := *i
	j.env = env
	if r := j.run("console"); r.code != 2 || !strings.Contains(r.stderr, "want https://") {
		t.Errorf("a certificate with an address without: %+v", r)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// lines are those of a log.
type lines struct{ came chan string }

// Write takes a line at a time, as zerolog writes.
func (l *lines) Write(p []byte) (int, error) {
	l.came <- string(p)
	return len(p), nil
}

// await returns the url of the line with that message.
func (l *lines) await(t testing.TB, message string) string {
	t.Helper()
	for {
		select {
		case line := <-l.came:
			var entry struct{ Message, URL string }
			if err := json.Unmarshal([]byte(line), &entry); err == nil && entry.Message == message {
				return entry.URL
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the log does not say %q", message)
		}
	}
}
