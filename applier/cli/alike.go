package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// maxAlike is how many names an error about one of many suggests.
const maxAlike = 3

// noSuch says that none of a kind has a name, and which known names are like it.
func noSuch(kind, name string, known []string) string {
	text := fmt.Sprintf("no %s %q", kind, name)
	if like := quoted(webhook.Alike(name, known)); like != "" {
		return text + ": did you mean " + like + "?"
	}
	return text + "."
}

func quoted(names []string) string {
	return strings.Join(each(names, func(name string) string { return fmt.Sprintf("%q", printable(name)) }), " or ")
}

// orMeant adds to an error about a name those that are like it, or else where all are.
func orMeant(err error, like []string, all string) error {
	if len(like) == 0 {
		return fmt.Errorf("%w. %s", err, all)
	}
	return fmt.Errorf("%w: did you mean %s?", err, quoted(like[:min(len(like), maxAlike)]))
}

// webhookElsewhere adds to an error about a webhook's name where there is one of it, or
// which names are like it.
func (a *app) webhookElsewhere(service *webhooks.Service, err error, name string) error {
	if !errors.Is(err, webhooks.ErrNotFound) || webhook.IsID(name) {
		return err
	}
	all, listErr := service.List(a.ctx, "")
	if listErr != nil {
		return err // which tells more
	}
	var communities, names []string
	for _, w := range all {
		if w.Name == name {
			communities = append(communities, w.Community)
		}
		if w.Community == a.community() {
			names = append(names, w.Name)
		}
	}
	if len(communities) > 0 {
		return elsewhere(err, communities)
	}
	return orMeant(err, webhook.Alike(name, names), "`coinhook webhooks list` lists all")
}

// userElsewhere adds to an error about a user where there is one of that name, or which
// names are like it.
func (a *app) userElsewhere(err error, ref string) error {
	if !errors.Is(err, users.ErrNotFound) {
		return err
	}
	db, openErr := a.database()
	if openErr != nil {
		return err // which tells more
	}
	const most = 50
	found, findErr := db.Users().FindNamed(a.ctx, nil, ref, most)
	if findErr != nil {
		return err
	}
	if len(found) > 0 {
		return elsewhere(err, each(found, func(u users.User) string { return u.Community }))
	}
	near, findErr := db.Users().Near(a.ctx, a.community(), ref, maxAlike)
	if findErr != nil {
		return err
	}
	return orMeant(err, near, "`coinhook users list` lists the users")
}

// elsewhere names at most a few communities.
func elsewhere(err error, communities []string) error {
	const shown = 5
	slices.Sort(communities)
	communities = slices.Compact(communities)
	switch n := len(communities); {
	case n == 1:
		return fmt.Errorf("%w. The community %[2]q has one: add --community %[2]s", err, communities[0])
	case n > shown:
		return fmt.Errorf("%w. %d communities have one, such as %s: add --community", err, n, strings.Join(communities[:shown], ", "))
	}
	return fmt.Errorf("%w. The communities %s have one: add --community", err, strings.Join(communities, ", "))
}

// namesIn returns the names that a community has of one kind.
type namesIn func(a *app, db *wiring.Database, community string) ([]string, error)

func currencyCodes(a *app, db *wiring.Database, community string) ([]string, error) {
	all, err := db.Communities().Currencies(a.ctx, community)
	return each(all, func(c applier.Currency) string { return c.Code }), err
}

func fieldNames(a *app, db *wiring.Database, community string) ([]string, error) {
	all, err := db.Communities().Fields(a.ctx, community)
	return each(all, func(f applier.Field) string { return f.Name }), err
}

// sayUnknown explains an empty list by a name that none of its kind has. Words of the
// command line list them.
func (a *app) sayUnknown(db *wiring.Database, kind, name, words string, names namesIn) {
	communities := []string{a.flags.Community}
	if a.flags.Community == "" {
		var err error
		if communities, err = a.knownCommunities(""); err != nil {
			return
		}
	}
	var known []string
	for _, community := range communities {
		more, err := names(a, db, community)
		if err != nil {
			return
		}
		known = append(known, more...)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	if !slices.Contains(known, name) {
		a.say("There is %s `coinhook %s list` lists them.", noSuch(kind, printable(name), known), words)
	}
}
