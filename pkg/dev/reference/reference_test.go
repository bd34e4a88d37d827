package reference

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write the pages instead of comparing them")

var repository = filepath.Join("..", "..", "..")

// marker stands between what people write and what is generated.
const marker = "<!-- `make docs` writes everything below this line. -->\n"

// TestTheReferenceIsCurrent: of settings, commands and metrics, as the programs have them.
func TestTheReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	bin := programs(t)
	help := func(program string, words ...string) string {
		return run(t, filepath.Join(bin, program), append(words, "--help")...)
	}
	for page, generate := range map[string]func(*testing.T, func(string, ...string) string) string{
		"settings.md": settings,
		"cli.md":      commands,
		"metrics.md":  metrics,
	} {
		path := filepath.Join(repository, "docs", "reference", page)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, _, found := strings.Cut(string(got), marker)
		if !found {
			t.Fatalf("%s has no line %q", path, marker)
		}
		want := head + marker + "\n" + generate(t, help)
		if *write {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if string(got) != want {
			t.Errorf("%s is stale at %q: run `make docs`", path, difference(string(got), want))
		}
	}
}

// programs returns the folder of COINHOOK_BIN_DIR, or builds the programs.
func programs(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("COINHOOK_BIN_DIR"); given != "" {
		return given
	}
	dir := t.TempDir()
	run(t, "go", "build", "-o", dir+string(filepath.Separator), "./ingress/cmd/ingress", "./applier/cmd/applier", "./applier/cmd/coinhook")
	return dir
}

// difference returns the first line that only one of two texts has there.
func difference(got, want string) string {
	lines := strings.Split(got, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i == len(lines) || lines[i] != line {
			return line
		}
	}
	return "its end"
}

// run returns what a program prints. The programs see none of the caller's settings.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = repository
	if name != "go" {
		cmd.Dir = t.TempDir()
		cmd.Env = []string{}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

const width = 80

// item returns an item of a list, wrapped.
func item(text string) string { return wrapped("-", text) }

// wrapped returns an item of a list behind its mark.
func wrapped(mark, text string) string {
	var b strings.Builder
	line := mark
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(mark))
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
	return b.String()
}

func TestItem(t *testing.T) {
	t.Parallel()
	want := "- `A`: " + strings.TrimSpace(strings.Repeat("word ", 14)) + "\n  word word\n"
	if got := item("`A`: " + strings.Repeat("word ", 16)); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}
