package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

var (
	unexpectedArgument = regexp.MustCompile(`^unexpected argument (.+?)(, did you mean .*)?$`)
	dashedValue        = regexp.MustCompile(`^--([a-z-]+): expected .* value but got "(-[^"]*)"`)
	noNumber           = regexp.MustCompile(`^--([a-z-]+): expected a valid \d+ bit int but got (".*")`)
	noDuration         = regexp.MustCompile(`^--([a-z-]+): expected duration but got (".*?")`)
	noPair             = regexp.MustCompile(`^--external: expected "<key>=<value>" but got (".*")`)
)

// badValue says what a flag wants, "" for an error that is about something else.
func badValue(text string) string {
	if m := noNumber.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("--%s: want a whole number, not %s", m[1], m[2])
	}
	if m := noDuration.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("--%s: want a duration such as 30s or 2m, not %s", m[1], m[2])
	}
	if m := noPair.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("--external: want KIND=ID, such as steam=76561198000000000, not %s", m[1])
	}
	switch m := dashedValue.FindStringSubmatch(text); {
	case m == nil:
		return ""
	case strings.HasPrefix(m[2], "--"):
		return fmt.Sprintf("--%s has no value: %s follows it", m[1], m[2])
	default:
		return fmt.Sprintf("a value that begins with a dash stands after =: --%s=%s", m[1], m[2])
	}
}

// usageText says what is wrong with a command line, and how it was probably meant.
func usageText(parser *kong.Kong, p Process, err error) string {
	message := strings.ReplaceAll(err.Error(), `must be one of "",`, "must be one of ")
	text := strings.TrimSuffix(strings.TrimRight(message, "?. "), ", ...")
	if bad := badValue(text); bad != "" {
		return bad
	}
	if strings.HasPrefix(text, "unknown flag -f, ") || text == "unknown flag -f" {
		return "unknown flag -f" + withoutFileFlag(selected(err))
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
		return text + ". The commands here are " + strings.Join(childNames(cmp.Or(command, parser.Model.Node)), ", ")
	case m[2] != "":
		return text
	}
	if takesFile(command) && isFile(p, word) {
		return fmt.Sprintf("%s. A file goes after -f: coinhook %s -f %s", text, pathOf(command), quoteArg(word))
	}
	if n := len(command.Positional); n > 0 && !command.Positional[n-1].IsCumulative() && strings.Contains(command.Positional[n-1].Name, "name") {
		return fmt.Sprintf("%s. A name with spaces stands in quotes: coinhook %s %s", text, pathOf(command), quotedName(p.Args, command, word))
	}
	if n := len(command.Positional); n > 0 {
		return fmt.Sprintf("%s. After %s it takes flags only", text, strings.ToUpper(command.Positional[n-1].Name))
	}
	return text + ". It takes flags only"
}

// mayBeEmpty are the flags that mean something when they are empty, or have a setting
// behind them.
var mayBeEmpty = []string{"path", "email", "username", "note", "nats-url", "database-url"}

// refuseEmpty refuses other flags that are given without a value. In a script they are
// variables that are not set: to leave them out would widen what the command acts on.
func refuseEmpty(parsed *kong.Context) error {
	for _, step := range parsed.Path {
		if step.Flag == nil || slices.Contains(mayBeEmpty, step.Flag.Name) {
			continue
		}
		value := reflect.Indirect(step.Flag.Target)
		if value.Kind() == reflect.String && strings.TrimSpace(value.String()) == "" {
			return usagef("--%s is empty: give it a value, or leave it out", step.Flag.Name)
		}
	}
	return nil
}

// withoutFileFlag says where the file of a command goes that has no -f.
func withoutFileFlag(command *kong.Node) string {
	switch {
	case command == nil:
		return ""
	case slices.ContainsFunc(command.Positional, func(p *kong.Positional) bool { return p.Name == "file" }):
		return fmt.Sprintf(". The file stands without it: coinhook %s FILE", pathOf(command))
	case slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == "file" }):
		return ". The flag is --file"
	}
	return fmt.Sprintf(". The result goes to the standard output: coinhook %s … > FILE", pathOf(command))
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

// childNames are the commands below another one.
func childNames(command *kong.Node) (names []string) {
	for _, child := range command.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}

func takesFile(command *kong.Node) bool {
	return slices.ContainsFunc(command.Flags, func(flag *kong.Flag) bool { return flag.Short == 'f' })
}

func isFile(p Process, word string) bool {
	if _, err := os.Stat(filepath.Join(p.Dir, word)); err == nil {
		return true
	}
	switch filepath.Ext(word) {
	case ".yaml", ".yml", ".json", ".jsonl", ".csv":
		return true
	}
	return false
}

// quotedName joins the words from the first one after the command to the last one that
// is no flag.
func quotedName(args []string, command *kong.Node, word string) string {
	name := args[min(len(strings.Fields(pathOf(command))), len(args)):]
	if flag := slices.IndexFunc(name, func(arg string) bool { return strings.HasPrefix(arg, "-") }); flag >= 0 {
		name = name[:flag]
	}
	if len(name) < 2 {
		name = []string{"NAME", word}
	}
	return `"` + printable(strings.Join(name, " ")) + `"`
}
