package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

var (
	unexpectedArgument = regexp.MustCompile(`^unexpected argument (.+?)(, did you mean .*)?$`)
	dashedValue        = regexp.MustCompile(`^--([a-z-]+): expected .* value but got "(-[^"]*)"`)
)

// usageText says what is wrong with a command line, and how it was probably meant.
func usageText(parser *kong.Kong, p Process, err error) string {
	text := strings.TrimSuffix(strings.TrimRight(err.Error(), "?. "), ", ...")
	if m := dashedValue.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("a value that begins with a dash stands after =: --%s=%s", m[1], m[2])
	}
	m := unexpectedArgument.FindStringSubmatch(text)
	parsing, ok := errors.AsType[*kong.ParseError](err)
	if m == nil || !ok || parsing.Context == nil || parsing.Context.Selected() == nil {
		return text
	}
	command, word := parsing.Context.Selected(), m[1]
	if takesFile(command) && isFile(p, word) {
		return fmt.Sprintf("%s. A file goes after -f: coinhook %s -f %s", text, pathOf(command), quoteArg(word))
	}
	if n := len(command.Positional); n > 0 && !command.Positional[n-1].IsCumulative() && strings.Contains(command.Positional[n-1].Name, "name") {
		return fmt.Sprintf("%s. A name with spaces stands in quotes: coinhook %s %s", text, pathOf(command), quotedName(p.Args, command, word))
	}
	return text
}

func takesFile(command *kong.Node) bool {
	for _, flag := range command.Flags {
		if flag.Short == 'f' {
			return true
		}
	}
	return false
}

func isFile(p Process, word string) bool {
	if _, err := os.Stat(filepath.Join(p.Dir, word)); err == nil {
		return true
	}
	switch filepath.Ext(word) {
	case ".yaml", ".yml", ".json", ".csv":
		return true
	}
	return false
}

// quotedName joins the words from the first one after the command to the last one that
// is no flag.
func quotedName(args []string, command *kong.Node, word string) string {
	from := len(strings.Fields(pathOf(command)))
	var name []string
	for i, arg := range args {
		if i < from || strings.HasPrefix(arg, "-") {
			if i >= from {
				break
			}
			continue
		}
		name = append(name, arg)
	}
	if len(name) < 2 {
		name = []string{"NAME", word}
	}
	return `"` + printable(strings.Join(name, " ")) + `"`
}
