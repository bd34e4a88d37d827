package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/cli"
)

type importJSON struct {
	Added, Updated, Known int
	BadLines              int `json:"bad_lines"`
	Bad                   []struct {
		Line    int
		Problem string
	}
}

func TestImportTwice(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	const users = 5000 // more than a chunk
	var b strings.Builder
	b.WriteString("username,email,external:game\n")
	for n := range users {
		fmt.Fprintf(&b, "User%d,user%d@example.com,\"with, a comma %d\"\n", n, n, n)
	}
	file := i.write("users.csv", b.String())
	for _, want := range []importJSON{{Added: users}, {Known: users}} {
		var got importJSON
		i.json(&got, "users", "import", file)
		if want.Bad = got.Bad; len(got.Bad) > 0 || cmp.Diff(want, got) != "" {
			t.Errorf("imported %+v, want %+v", got, want)
		}
	}
	var one importJSON
	i.write("users.csv", "email,username\nUSER7@example.com,Seven\nnew@example.com,user8\n")
	i.json(&one, "users", "import", file, "--move-names")
	if one.Updated != 1 || one.Added != 1 {
		t.Errorf("changed %+v", one)
	}
	var shown struct{ Email, Username string }
	i.json(&shown, "users", "show", "seven")
	if shown.Email != "user7@example.com" {
		t.Errorf("changed to %+v", shown)
	}
}

func TestImportReportsBadLines(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var b strings.Builder
	b.WriteString("email,username\na@example.com,a\nb@example.com,b\na@example.com,b\nx\"y,\n")
	for range 30 {
		b.WriteString("broken,\n")
	}
	b.WriteString("c@example.com,c\n")
	file := i.write("users.csv", b.String())
	r := i.run("users", "import", file, "--report", "bad.csv")
	if r.code != 1 || !strings.Contains(r.stdout, "3 users added, 0 updated, 0 unchanged, 32 bad lines") ||
		!strings.Contains(r.stderr, "line 4: the username \"b\" is that of the user \"b@example.com\" (") || !strings.Contains(r.stderr, "line 5: a quote") ||
		!strings.Contains(r.stderr, "and 12 more bad lines") || strings.Count(r.stderr, "users.csv: line") != 20 {
		t.Errorf("%+v", r)
	}
	if info, err := os.Stat(filepath.Join(i.dir, "bad.csv")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the report: %v, %v", info, err)
	}
	report, err := os.ReadFile(filepath.Join(i.dir, "bad.csv"))
	lines := strings.Split(strings.TrimSpace(string(report)), "\n")
	if err != nil || len(lines) != 33 || lines[0] != "line,problem" || lines[32] != "35,the email needs an @ with something on both sides" {
		t.Errorf("the report is %s, %v", report, err)
	}
	for args, want := range map[string]string{
		"users import users.csv --report no/such/folder": "--report",
		"users import nothing.csv":                       "nothing.csv",
	} {
		if r := i.run(strings.Fields(args)...); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// interrupting is a file whose reader presses Ctrl-C near its end.
type interrupting struct {
	io.Reader
	left   int
	cancel context.CancelFunc
}

func (r *interrupting) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.left -= n; r.left < 0 {
		r.cancel()
	}
	return n, err
}

func TestImportGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	const users = 5000
	var b strings.Builder
	b.WriteString("email\n")
	for n := range users {
		fmt.Fprintf(&b, "user%d@example.com\n", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := cli.Run(ctx, cli.Process{
		Args: []string{"users", "import", "-"}, Env: i.env, Dir: i.dir, Stdout: &stdout, Stderr: &stderr, Terminal: true,
		Stdin: &interrupting{strings.NewReader(b.String()), b.Len() * 3 / 4, cancel},
	})
	if code != 1 || stdout.Len() != 0 || !strings.Contains(stderr.String(), "stopped after line 2001: 2000 users added") ||
		!strings.Contains(stderr.String(), "run the same command again to continue") || !strings.Contains(stderr.String(), "\r\x1b[Kline 2001: ") {
		t.Fatalf("exit %d: %s %q", code, &stdout, &stderr)
	}
	var got importJSON
	i.json(&got, "users", "import", i.write("users.csv", b.String()))
	if got.Known != 2000 || got.Added != users-2000 {
		t.Errorf("went on with %+v", got)
	}
}

func TestUsersSet(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var user struct {
		ID              string
		Email, Username *string
	}
	i.json(&user, "users", "add", "--email", "a@example.com", "--username", "a")
	i.json(&map[string]any{}, "users", "add", "--username", "b")
	id := user.ID
	i.json(&user, "users", "set", "A@example.com", "--username", " Ann ")
	if user.ID != id || *user.Username != "Ann" || *user.Email != "a@example.com" {
		t.Errorf("set to %+v", user)
	}
	i.json(&user, "users", "set", "ann", "--email", "")
	if user.ID != id || user.Email != nil {
		t.Errorf("taken away: %+v", user)
	}
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"users", "set", "ann"}, 2, "--email, --username or --external"},
		{[]string{"users", "set", "ann", "--email", "nonsense"}, 2, "@"},
		{[]string{"users", "set", "ann", "--username", ""}, 2, "an email, a username or an external id"},
		{[]string{"users", "set", "ann", "--username", "B"}, 1, `nothing was changed: the username "B" is that of the user "b" (`},
		{[]string{"users", "set", "ann", "--username", "B"}, 1, " --username="},
		{[]string{"users", "add", "--username", "ANN"}, 1, `the username "ANN" is that of the user "Ann" (` + id + `) in the community "default". Choose another one, or first remove it there: coinhook users set ` + id + " --username="},
		{[]string{"users", "set", "nobody", "--username", "x"}, 1, "no such user"},
	} {
		if r := i.run(tc.args...); r.code != tc.code || r.stdout != "" || !strings.Contains(r.stderr, tc.says) {
			t.Errorf("%v: %+v, want exit %d and %q", tc.args, r, tc.code, tc.says)
		}
	}
}
