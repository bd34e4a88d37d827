package reference

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// setting is a line of a help: the variable, and in two or three columns the default and
// what it is for.
var setting = regexp.MustCompile(`(?m)^ *([A-Z][A-Z0-9_]+) {2,}(\S.*)$`)

// settings renders the variables of the programs, from their helps.
func settings(t *testing.T, help func(program string, words ...string) string) string {
	t.Helper()
	var b strings.Builder
	for _, program := range []string{"ingress", "applier", "coinhook", "coinhook console"} {
		words := strings.Fields(program)
		lines := setting.FindAllStringSubmatch(help(words[0], words[1:]...), -1)
		if len(lines) < 8 {
			t.Fatalf("only %d settings are in the help of %s", len(lines), program)
		}
		fmt.Fprintf(&b, "## %s\n\n", program)
		for _, m := range lines {
			if m[1] == "VARIABLE" { // the head of the table
				continue
			}
			b.WriteString(item(describe(m[1], m[2])))
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var columns = regexp.MustCompile(` {2,}`)

func describe(name, rest string) string {
	parts := columns.Split(strings.TrimSpace(rest), 2)
	if len(parts) == 1 {
		return fmt.Sprintf("`%s`: %s.", name, parts[0])
	}
	fallback := "Default: `" + parts[0] + "`."
	switch {
	case parts[0] == "(none)":
		fallback = "Default: none."
	case parts[0] == "(must be set)":
		fallback = "It must be set."
	case strings.Contains(parts[0], " "):
		fallback = "Default: " + parts[0] + "."
	}
	return fmt.Sprintf("`%s`: %s. %s", name, parts[1], fallback)
}
