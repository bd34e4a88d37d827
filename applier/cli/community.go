package cli

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// createFlag is that of commands that may make a community.
type createFlag struct {
	CreateCommunity bool `help:"Create the community if there is none of that name. Without it an unknown community is refused."`
}

func (c createFlag) mayCreate() bool { return c.CreateCommunity }

// communityMaker is a command with that flag.
type communityMaker interface{ mayCreate() bool }

// addCommunity keeps every --community of the command line, with commas between. Only
// commands about accounts take several.
func addCommunity(ctx *kong.DecodeContext, target reflect.Value) error {
	var name string
	if err := ctx.Scan.PopValueInto("community", &name); err != nil {
		return err
	}
	if had := target.String(); had != "" {
		name = had + "," + name
	}
	target.SetString(name)
	return nil
}

// checkCommunity refuses a --community that does not exist, so that a typing mistake
// neither looks like an empty list nor makes a community.
func (a *app) checkCommunity(command *kong.Node) error {
	name := a.flags.Community
	if name == "" || name == defaultCommunity || slices.Contains([]string{"setup", "console", "help", "completion", "admins add", "admins set"}, a.command) {
		return nil
	}
	if strings.Contains(name, ",") {
		return usagef("--community: this command is about one, not about %s", name)
	}
	if !webhook.IsCommunity(name) {
		return usagef("--community: want 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, not %q", name)
	}
	maker, makes := command.Target.Addr().Interface().(communityMaker)
	if makes && maker.mayCreate() {
		return nil
	}
	known, err := a.knownCommunities(name)
	switch {
	case slices.Contains(known, name):
		return nil
	case err != nil && makes:
		return fmt.Errorf("nothing was changed, because it is not known whether the community %q exists: %w", name, err)
	case err != nil: // the command says what is down, if it needs it
		return nil
	}
	return unknownCommunity(name, known, makes)
}

func unknownCommunity(name string, known []string, makes bool) error {
	text := "there is " + noSuch("community", name, known)
	if makes {
		return errors.New(text + " --create-community creates it")
	}
	return errors.New(text + " `coinhook communities list` lists all")
}

// knownCommunities returns the communities that there are. It stops where it finds the
// wanted one: a command that needs one server does not need the other for that. The
// error says what could not be asked.
func (a *app) knownCommunities(wanted string) ([]string, error) {
	known, databaseErr := a.storedCommunities()
	known = append(known, defaultCommunity)
	if slices.Contains(known, wanted) {
		return known, nil
	}
	service, brokerErr := a.webhooksWith(secret.MasterKey{})
	if brokerErr == nil {
		var more []string
		more, brokerErr = service.Communities(a.ctx)
		known = append(known, more...)
	}
	slices.Sort(known)
	return slices.Compact(known), errors.Join(databaseErr, brokerErr)
}

// storedCommunities has a connection of its own: the command's may be set up for long
// statements.
func (a *app) storedCommunities() ([]string, error) {
	db, err := a.openDefault(wiring.Options{Name: "coinhook", MaxConns: 1, StatementTimeout: connectWithin})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return db.Communities().Communities(a.ctx)
}

// numbered are the parts of a name that count: world-2 is no mistake for world-1, nor
// team-b for team-a.
var numbered = regexp.MustCompile(`[0-9]+|(^|[-_])[a-z]($|[-_])`)

// isMistyped reports whether a name may be a mistake for another one: a letter more or
// less, another letter, or two that are swapped.
func isMistyped(name string, known []string) bool {
	return slices.ContainsFunc(known, func(other string) bool {
		return numbered.ReplaceAllString(name, "") != numbered.ReplaceAllString(other, "") && isOneSlip(name, other)
	})
}

func isOneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	start := 0
	for start < len(a) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	fromA, fromB := a[start:len(a)-end], b[start:len(b)-end]
	switch {
	case min(len(a), len(b)) < 4: // short names are alike by chance
		return false
	case len(fromA) == 2 && len(fromB) == 2:
		return fromA[0] == fromB[1] && fromA[1] == fromB[0]
	}
	return len(fromB) == 1
}
