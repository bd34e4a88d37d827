package reference

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// commands renders the help of each command, without the flags that all of them have.
func commands(t *testing.T, help func(program string, words ...string) string) string {
	t.Helper()
	var b strings.Builder
	top := help("coinhook")
	fmt.Fprintf(&b, "## coinhook\n\n```text\n%s\n```\n", narrow(top))
	found := 0
	var walk func(parent, text string)
	walk = func(parent, text string) {
		for _, name := range children(text) {
			if parent != "" && !strings.HasPrefix(name, parent+" ") {
				t.Fatalf("%q is a command of %q", name, parent)
			}
			own := help("coinhook", strings.Fields(name)...)
			if len(children(own)) > 0 {
				walk(name, own)
				continue
			}
			found++
			fmt.Fprintf(&b, "\n## coinhook %s\n\n```text\n%s\n```\n", name, narrow(withoutCommonFlags(own)))
		}
	}
	walk("", top)
	if found < 40 {
		t.Fatalf("only %d commands were found", found)
	}
	return b.String()
}

var command = regexp.MustCompile(`^  ([a-z][a-z-]*(?: [a-z][a-z-]*)*)(?: {2,}|$)`)

// children are the commands that a help lists.
func children(help string) (names []string) {
	_, list, _ := strings.Cut(help, "\nCommands:\n")
	for line := range strings.Lines(list) {
		if m := command.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

// withoutCommonFlags cuts the first group of flags, which every command has.
func withoutCommonFlags(help string) string {
	before, flags, found := strings.Cut(help, "\nFlags:\n")
	if !found {
		return help
	}
	common, own, found := strings.Cut(flags, "\n\n")
	if !strings.Contains(common, "--help") || !strings.Contains(common, "--nats-url") {
		return help
	}
	if !found {
		return before
	}
	return before + "\nFlags:\n" + own
}

// narrow wraps lines that are wider than a page: texts of a help that it prints as they are.
func narrow(help string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(help) + "\n") {
		line = strings.TrimRight(line, " \n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if gaps := columns.FindAllStringIndex(line, -1); len(gaps) > 0 {
			indent = gaps[len(gaps)-1][1]
		}
		for len(line) > width {
			end := strings.LastIndex(line[:width+1], " ")
			if end <= indent {
				break
			}
			b.WriteString(line[:end] + "\n")
			line = strings.Repeat(" ", indent) + line[end+1:]
		}
		b.WriteString(line + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestNarrow(t *testing.T) {
	t.Parallel()
	word := strings.Repeat("x", 30)
	got := narrow("Usage:\n\n    NAME  " + word + " " + word + " " + word + "\n")
	if want := "Usage:\n\n    NAME  " + word + " " + word + "\n          " + word; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestChildren(t *testing.T) {
	t.Parallel()
	got := children("Usage: x\n\nFlags:\n  -h, --help  Help.\n\nCommands:\n  dlq list      List\n                them, with care.\n  dlq show-all  Show.\n\nRun \"x <command> --help\".\n")
	if want := "dlq list,dlq show-all"; strings.Join(got, ",") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}
