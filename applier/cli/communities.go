package cli

import (
	"context"
	"slices"
	"strconv"

	"github.com/coinhook/coinhook/applier/admin/wiring"
)

type communitiesCmd struct {
	List communitiesListCmd `cmd:"" help:"List the communities that have webhooks, users, currencies or custom fields."`
}

type communitiesListCmd struct{ limitFlag }

// communityJSON is a community as programs read it.
type communityJSON struct {
	Community string `json:"community"`
	Webhooks  int    `json:"webhooks"`
}

func (c *communitiesListCmd) Run(a *app, db *wiring.Database) error {
	names, err := db.Communities().Communities(a.ctx)
	if err != nil {
		return err
	}
	service, err := a.webhooks()
	if err != nil {
		return err
	}
	all, err := service.List(a.ctx, "")
	if err != nil {
		return err
	}
	names = append(names, defaultCommunity) // it always exists
	webhooks := map[string]int{}
	for _, w := range all {
		webhooks[w.Community]++
		names = append(names, w.Community)
	}
	slices.Sort(names)
	if names, err = cut(a, c.limitFlag, slices.Compact(names)); err != nil {
		return err
	}
	list := each(names, func(name string) communityJSON { return communityJSON{Community: name, Webhooks: webhooks[name]} })
	return printList(a, list, []string{"community", "webhooks"}, func(c communityJSON) []string {
		return []string{c.Community, strconv.Itoa(c.Webhooks)}
	})
}

// eachCommunity returns what is read of the community of the flag, or else of all that
// have users, currencies or custom fields: first of the default one, then by name.
func eachCommunity[T, R any](a *app, db *wiring.Database, read func(context.Context, string) ([]T, error), result func(string, T) R) ([]R, error) {
	communities := []string{a.flags.Community}
	if a.flags.Community == "" {
		others, err := db.Communities().Communities(a.ctx)
		if err != nil {
			return nil, err
		}
		others = slices.DeleteFunc(others, func(name string) bool { return name == defaultCommunity })
		communities = append([]string{defaultCommunity}, others...)
	}
	var all []R
	for _, name := range communities {
		list, err := read(a.ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, each(list, func(t T) R { return result(name, t) })...)
	}
	return all, nil
}
