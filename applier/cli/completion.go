package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/service"
	"github.com/coinhook/coinhook/pkg/signature"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: ${enum}."`
}

// Run prints the script that the shell reads.
func (c *completionCmd) Run(a *app) error {
	_, err := io.WriteString(a.Stdout, completionScripts[c.Shell])
	return err
}

// completing is the hidden command that the scripts call with the words so far.
const completing = "__complete"

// completeWithin is how long a person waits for names after the tab key.
const completeWithin = 800 * time.Millisecond

// The words reach the command as they stand on the line. Where it knows nothing, shells
// complete files.
var completionScripts = map[string]string{
	"bash": `# coinhook completion bash: source <(coinhook completion bash)
_coinhook() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$(printf '%q' "$line")")
    done < <(coinhook __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _coinhook coinhook
`,
	"zsh": `#compdef coinhook
# coinhook completion zsh: source <(coinhook completion zsh)
_coinhook() {
    local -a found
    found=("${(@f)$(coinhook __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then
        compadd -a found
    else
        _files
    fi
}
compdef _coinhook coinhook
`,
	"fish": `# coinhook completion fish: coinhook completion fish | source
function __coinhook_complete
    set -l before (commandline -opc)
    set -e before[1]
    set -l found (coinhook __complete $before (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c coinhook -f -a '(__coinhook_complete)'
`,
}

// complete prints what the last word may become, a candidate a line. It keeps silent
// about errors, and soon ends: the person is typing.
func complete(ctx context.Context, p Process) {
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	found := make(chan []string, 1)
	go func() {
		defer func() { _ = recover() }() // a wrong guess must not disturb the line
		found <- candidates(ctx, p)
	}()
	select {
	case all := <-found:
		for _, candidate := range all {
			if printable(candidate) == candidate {
				fmt.Fprintln(p.Stdout, candidate)
			}
		}
	case <-ctx.Done():
	}
}

// typed is a command line in the making.
type typed struct {
	node       *kong.Node
	flag       *kong.Flag // whose value is next
	positional int        // how many words came that are no command and no flag
	community  string
}

func candidates(ctx context.Context, p Process) []string {
	words := p.Args[1:]
	if len(words) == 0 {
		words = []string{""}
	}
	words = slices.Clone(words)
	if end := len(words) - 1; words[end] == "=" {
		words[end] = ""
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "=" }) // bash splits --flag=value
	p.Stderr = io.Discard
	p.Env = maps.Clone(p.Env)
	var c commands
	parser, err := newParser(&c, p)
	if err != nil || service.ReadSecretFiles(p.Env, service.Secrets...) != nil {
		return nil
	}
	last := unquote(words[len(words)-1])
	line := typed{node: parser.Model.Node}
	for _, word := range words[:len(words)-1] {
		line.read(unquote(word))
	}
	c.Community = line.community
	a := newApp(ctx, p, &c)
	defer a.close()
	var all []string
	name, _, hasValue := strings.Cut(last, "=")
	switch {
	case line.flag != nil:
		all = a.valuesOf(line.flag.Value)
	case strings.HasPrefix(last, "--") && hasValue:
		if flag := line.find(name); flag != nil {
			all = each(a.valuesOf(flag.Value), func(v string) string { return name + "=" + v })
		}
	case strings.HasPrefix(last, "-"):
		all = each(line.flags(), func(f *kong.Flag) string { return "--" + f.Name })
	default:
		all = line.next(a)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, last) })
	slices.Sort(all)
	return slices.Compact(all)
}

// unquote undoes what a person typed for the shell: bash hands on the words as typed.
func unquote(word string) string {
	return strings.NewReplacer(`\`, "", `"`, "", `'`, "").Replace(word)
}

// read takes one word that is complete.
func (t *typed) read(word string) {
	if t.flag != nil {
		if t.flag.Name == "community" {
			t.community = word
		}
		t.flag = nil
		return
	}
	if name, value, hasValue := strings.Cut(word, "="); strings.HasPrefix(word, "-") {
		flag := t.find(name)
		switch {
		case flag == nil || flag.IsBool() || flag.IsCounter():
		case !hasValue:
			t.flag = flag
		case flag.Name == "community":
			t.community = value
		}
		return
	}
	for _, child := range t.node.Children {
		if child.Name == word {
			t.node = child
			return
		}
	}
	t.positional++
}

func (t *typed) find(name string) *kong.Flag {
	for _, flag := range t.flags() {
		if "--"+flag.Name == name || flag.Short != 0 && "-"+string(flag.Short) == name {
			return flag
		}
	}
	return nil
}

func (t *typed) flags() []*kong.Flag { return slices.Concat(t.node.AllFlags(true)...) }

// next are the commands that may follow, or what the next argument may be.
func (t *typed) next(a *app) []string {
	all := childNames(t.node)
	at := min(t.positional, len(t.node.Positional)-1)
	if at < 0 || t.positional > at && !t.node.Positional[at].IsCumulative() {
		return all
	}
	return append(all, a.valuesOf(t.node.Positional[at])...)
}

// valuesOf are what a flag or argument can be, as far as that is no user's.
func (a *app) valuesOf(v *kong.Value) []string {
	if v.Enum != "" {
		return slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })
	}
	switch v.Name {
	case "community":
		known, _ := a.knownCommunities("") // those that can be read
		return known
	case "webhook", "name-or-id":
		return a.webhookNames()
	case "currency", "code":
		db, err := a.database()
		if err != nil {
			return nil
		}
		codes, _ := currencyCodes(a, db, a.community()) // those that can be read
		return codes
	case "reason":
		return reasonNames()
	case "preset":
		return signature.Names()
	}
	return nil
}

func (a *app) webhookNames() []string {
	service, err := a.webhooks()
	if err != nil {
		return nil
	}
	all, _ := service.List(a.ctx, a.community())
	return each(all, func(w broker.Saved) string { return w.Name })
}
