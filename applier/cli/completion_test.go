package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (i *installation) completes(words ...string) []string {
	i.t.Helper()
	r := i.run(append([]string{"__complete"}, words...)...)
	if r.code != 0 || r.stderr != "" {
		i.t.Errorf("%v: %+v", words, r)
	}
	return strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.makeCommunity("guilds")
	i.do("webhooks apply -f " + i.write("shop.yaml", shopYAML))
	i.do("webhooks apply --community guilds -f " + i.write("theirs.yaml", strings.Replace(shopYAML, "Shop", "Shop of theirs", 1)))
	for words, want := range map[string]string{
		"web":                               "webhooks",
		"webhooks sh":                       "show",
		"webhooks show ":                    "Shop",
		"webhooks show --community guilds ": "Shop of theirs",
		"--community=guilds webhooks show Shop\\": "Shop of theirs",
		"deliveries list --webhook ":              "Shop",
		"deliveries list --webhook = ":            "Shop",
		"deliveries list --webhook =":             "Shop",
		"deliveries list --webhook=":              "--webhook=Shop",
		"deliveries list --status f":              "failed",
		"users list --community ":                 "default guilds",
		"users list --community nope":             "",
		"logs list --currency g --community x":    "",
		"dlq list --reason user_":                 "user_not_found",
		"logs list --currency ":                   "coins xp",
		"webhooks presets str":                    "stripe",
		"completion ":                             "bash fish zsh",
		"users show ":                             "",
		"nonsense ":                               "",
		"webhooks rotate-key Shop --over":         "--overlap",
	} {
		args := strings.Split(words, " ")
		if got := strings.Join(i.completes(args...), " "); got != want && !(words == "nonsense " && strings.Contains(got, "webhooks")) {
			t.Errorf("%q completes to %q, want %q", words, got, want)
		}
	}
}

func TestCompletionKeepsSilentAndEnds(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{"NATS_URL": "nats://192.0.2.1:4222", "DATABASE_URL": "postgres://192.0.2.1/x"}}
	began := time.Now()
	if got := i.completes("webhooks", "show", ""); len(got) != 1 || got[0] != "" {
		t.Errorf("without servers: %q", got)
	}
	if took := time.Since(began); took > 4*time.Second { // 0.8 s, and a slow machine; a connection is tried for 5 s
		t.Errorf("it took %s", took)
	}
}

// The shell calls a command of its own that says with which words.
func TestTheScriptOfBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	script := i.run("completion", "bash")
	if script.code != 0 {
		t.Fatalf("%+v", script)
	}
	path := filepath.Join(i.dir, i.write("complete.sh", script.stdout))
	const call = `source "$1"; coinhook() { printf '%s\n' "$*" "two words"; }
COMP_WORDS=(coinhook webhooks show Sh); COMP_CWORD=3; _coinhook; printf '%s\n' "${COMPREPLY[@]}"`
	out, err := exec.CommandContext(t.Context(), bash, "-c", call, "bash", path).CombinedOutput()
	if diff := cmp.Diff("__complete\\ webhooks\\ show\\ Sh\ntwo\\ words\n", string(out)); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
}

func TestTheScriptsOfOtherShells(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	for _, shell := range []string{"zsh", "fish"} {
		script := i.run("completion", shell)
		if script.code != 0 || !strings.Contains(script.stdout, "coinhook __complete") {
			t.Errorf("%s: %+v", shell, script)
		}
		if path, err := exec.LookPath(shell); err == nil {
			check := exec.CommandContext(t.Context(), path, "-n", "/dev/stdin")
			check.Stdin = bytes.NewReader([]byte(script.stdout))
			check.Env = os.Environ()
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", shell, err, out)
			}
		}
	}
	if r := i.run("completion", "tcsh"); r.code != 2 {
		t.Errorf("another shell: %+v", r)
	}
}

func TestHelpAndGuide(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	for args, want := range map[string]string{
		"help":                "Commands:",
		"help webhooks":       "webhooks apply",
		"help webhooks apply": "--dry-run",
		"help dlq replay":     "--all-communities",
	} {
		if r := i.run(strings.Fields(args)...); r.code != 0 || !strings.Contains(r.stdout, want) || r.stderr != "" {
			t.Errorf("coinhook %s: %+v", args, r)
		}
	}
	if r := i.run("help", "webhoks"); r.code != 2 || !strings.Contains(r.stderr, "webhooks") {
		t.Errorf("of no command: %+v", r)
	}
	if r := i.run(); r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, "coinhook webhooks apply -f") || !strings.Contains(r.stderr, "coinhook help") {
		t.Errorf("bare: %+v", r)
	}
}
