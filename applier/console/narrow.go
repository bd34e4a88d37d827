package console

import (
	"errors"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// defaultCommunity is there without settings.
const defaultCommunity = "default"

// option is a value to choose in a form.
type option struct{ Value, Text string }

// options are the communities and webhooks that a list can be narrowed to, with
// the webhook that it is narrowed to, which may be deleted.
func (s *Console) options(c *request, chosen string) (communities, webhooks []option, err error) {
	all, err := s.Webhooks.List(c.ctx(), "")
	if err != nil {
		return nil, nil, err
	}
	names, err := s.Settings.Communities(c.ctx())
	if err != nil {
		return nil, nil, err
	}
	if c.sees(defaultCommunity) {
		names = append(names, defaultCommunity)
	}
	for _, w := range all {
		names = append(names, w.Community)
		webhooks = append(webhooks, option{w.ID, w.Name + " (" + w.Community + ")"})
	}
	slices.Sort(names)
	return optionsOf(slices.Compact(names)), withChosen(webhooks, chosen), nil
}

func optionsOf(words []string) (all []option) {
	for _, word := range words {
		all = append(all, option{word, word})
	}
	return all
}

// withChosen adds the value that was chosen where it is not there any more.
func withChosen(all []option, chosen string) []option {
	if chosen == "" || slices.ContainsFunc(all, func(o option) bool { return o.Value == chosen }) {
		return all
	}
	return append(all, option{chosen, chosen})
}

// userOf finds the user that a list is narrowed to, if it is, or says that there is
// none. Without a community it is looked for in all.
func (s *Console) userOf(c *request, community, webhook, ref string) (id delivery.ID, problem string, err error) {
	if ref == "" {
		return id, "", nil
	}
	var communities []string
	if community = s.communityOf(c, community, webhook); community != "" {
		communities = []string{community}
	}
	const shown = 10
	found, err := s.Users.FindNamed(c.ctx(), communities, ref, shown)
	switch {
	case err != nil:
		return id, "", err
	case len(found) == 1:
		return found[0].ID, "", nil
	case len(found) > 1:
		names := make([]string, len(found))
		for i, u := range found {
			names[i] = u.Community
		}
		return id, "Several communities have such a user. Choose one of them: " + strings.Join(slices.Compact(names), ", ") + ".", nil
	case community == "":
		return id, "There is no user with this id, email or username in any community.", nil
	}
	return id, "There is no user with this id, email or username in the community " + community + ".", nil
}

// communityOf is where a form's user is looked for; empty is everywhere.
func (s *Console) communityOf(c *request, community, webhook string) string {
	if community == "" && webhook != "" {
		if w, err := s.Webhooks.Find(c.ctx(), "", webhook); err == nil || errors.Is(err, webhooks.ErrNewer) { // else it is deleted
			return w.Community
		}
	}
	return community
}
