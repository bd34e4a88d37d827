package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// communitiesPath alone makes communities.
const communitiesPath = "/settings/communities"

// knownCommunities are those that there are, as far as who asks may see them. It stops where it finds the wanted one:
// webhooks can be made while PostgreSQL is down.
func (s *Console) knownCommunities(c *request, wanted string) ([]string, error) {
	known, err := s.Webhooks.Communities(c.ctx())
	if err != nil {
		return nil, err
	}
	known = append(known, defaultCommunity)
	if wanted != "" && slices.Contains(known, wanted) && c.may(wanted, admin.Viewer) {
		return known, nil
	}
	more, err := s.Settings.Communities(c.ctx())
	known = append(known, more...)
	slices.Sort(known)
	known = slices.DeleteFunc(slices.Compact(known), func(name string) bool { return !c.may(name, admin.Viewer) })
	return known, err
}

// checkCommunity refuses a form that names a community which does not exist: a typing
// mistake must not make one. A token of one that is gone can be revoked.
func (s *Console) checkCommunity(c *request) error {
	path := c.Path()
	isForm := c.Request().Method == post && path != communitiesPath && path != importPath && path != "/tokens/revoke"
	if !isForm && path != "/settings" && path != "/webhooks/new" {
		return nil
	}
	return s.isCommunity(c, c.FormValue("community"))
}

// isCommunity returns an error with the names that are alike, unless there is such a
// community, or none is named.
func (s *Console) isCommunity(c *request, name string) error {
	if name == "" {
		return nil
	}
	known, err := s.knownCommunities(c, name)
	if err != nil || slices.Contains(known, name) {
		return err
	}
	text := fmt.Sprintf("There is no community “%s”", name)
	if alike := webhook.Alike(name, known); len(alike) > 0 {
		text += ": did you mean “" + strings.Join(alike, "” or “") + "”?"
	} else {
		text += "."
	}
	return failf(http.StatusUnprocessableEntity, "%s Nothing was changed. A new community is made in the settings: /settings.", text)
}

// addCommunity makes a community, and shows its settings.
func (s *Console) addCommunity(c *request) error {
	name := trimmed(c.FormValue("name"))
	known, err := s.knownCommunities(c, "")
	if err != nil {
		return err
	}
	if slices.Contains(known, name) {
		err = &communities.Invalid{Part: "community", Err: fmt.Errorf("there is a community %q already", name)}
	} else {
		err = s.Settings.Create(c.ctx(), name)
	}
	if problem, _ := settingProblem(err); problem != "" {
		return s.settingsPage(c, http.StatusUnprocessableEntity, settingsData{NewCommunity: name, CommunityProblem: problem})
	}
	if err != nil {
		return err
	}
	return c.recordDone("create community", "community", name, nil,
		inCommunity("/settings", name), "The community "+name+" is there. Add its users and webhooks next.")
}
