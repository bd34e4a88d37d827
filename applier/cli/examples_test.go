package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestEveryHelpHasAnExampleThatParses: a newcomer copies them.
func TestEveryHelpHasAnExampleThatParses(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, leaf := range parser.Model.Leaves(false) {
		path := pathOf(leaf)
		known[path] = true
		words := strings.Fields(strings.TrimSuffix(path, " look"))
		var help bytes.Buffer
		if code := Run(t.Context(), Process{Args: append(words, "--help"), Stdout: &help, Stderr: &help}); code != 0 {
			t.Errorf("coinhook %s --help: exit %d", path, code)
		}
		if !strings.Contains(help.String(), "\nExample") || !strings.Contains(help.String(), "\n    coinhook "+words[0]) && path != "completion" {
			t.Errorf("the help of coinhook %s has no example:\n%s", path, help.String())
		}
	}
	for path, lines := range examples {
		if !known[path] {
			t.Errorf("there are examples for %q, which is no command", path)
		}
		for _, line := range lines {
			if path == "completion" && strings.HasPrefix(line, "source") {
				continue
			}
			var c commands
			parser, err := newParser(&c, Process{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(shellWords(line)[1:]); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
}

// shellWords splits a line as a shell does, up to a redirection.
func shellWords(line string) (words []string) {
	line, _, _ = strings.Cut(line, " > ")
	line, _, _ = strings.Cut(line, " < ")
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}
