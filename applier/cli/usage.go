package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

var (
	unexpectedArgument = regexp.MustCompile(`^unexpected argument (.+?)(, did you mean .*)?$`)
	dashedValue        = regexp.MustCompile(`^--([a-z-]+): expected .* value but got "(-[^"]*)"`)
)

// usageText says what is wrong with a command line, and how it was probably meant.
func usageText(parser *kong.Kong, p Process, err error) string {
	message := strings.ReplaceAll(err.Error(), `must be one of "",`, "must be one of ")
	text := strings.TrimSuffix(strings.TrimRight(message, "?. "), ", ...")
	if m := dashedValue.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("a value that begins with a dash stands after =: --%s=%s", m[1], m[2])
	}
	m := unexpectedArgument.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	command, word := selected(err), m[1]
	switch {
	case word == "version" && command == nil:
		return text + ". Its version is printed by coinhook --version"
	case m[2] == "" && (command == nil || len(command.Children) > 0):
		return text + ". The commands here are " + strings.Join(childNames(parser, command), ", ")
	case m[2] != "":
		return text
	}
	if takesFile(command) && isFile(p, word) {
		return fmt.Sprintf("%s. A file goes after -f: coinhook %s -f %s", text, pathOf(command), quoteArg(word))
	}
	if n := len(command.Positional); n > 0 && !command.Positional[n-1].IsCumulative() && strings.Contains(command.Positional[n-1].Name, "name") {
		return fmt.Sprintf("%s. A name with spaces stands in quotes: coinhook %s %s", text, pathOf(command), quotedName(p.Args, command, word))
	}
	if len(command.Positional) == 0 {
		return text + ". It takes flags only"
	}
	return text
}

// selected is the command that the words name so far, nil for none.
func selected(err error) *kong.Node {
	parsing, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parsing.Context == nil {
		return nil
	}
	for _, step := range slices.Backward(parsing.Context.Path) {
		if step.Command != nil {
			return step.Command
		}
	}
	return nil
}

// reached is the part of the command line whose help tells more.
func reached(err error) string { return strings.TrimSpace("coinhook " + pathOf(selected(err))) }

func childNames(parser *kong.Kong, command *kong.Node) (names []string) {
	if command == nil {
		command = parser.Model.Node
	}
	for _, child := range command.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
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
