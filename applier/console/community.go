package console

import (
	"net/http"
	"net/url"
	"slices"
)

// communityPages are those that show one community where their address says so. Links to
// them from one another keep it.
var communityPages = []string{"/deliveries", "/dead-letters", "/logs", "/users", "/settings"}

// communitySwitch leads to the same page of another community. It is empty where there is
// one community only, and on pages that are about all.
type communitySwitch struct {
	Current string
	All     []chip
}

func (c *request) communitySwitch(status int) (s communitySwitch) {
	path := c.Request().URL.Path
	if status != http.StatusOK || c.session.Account == "" || !slices.Contains(communityPages, path) {
		return s
	}
	names, _, err := c.console.options(c, "")
	if err != nil || len(names) < 2 {
		return s // the page itself says what is wrong
	}
	if path == "/settings" {
		s.Current = communityIn(c)
	} else {
		s.Current = c.QueryParam("community")
		s.All = append(s.All, chip{"All communities", path, s.Current == ""})
	}
	for _, name := range names {
		s.All = append(s.All, chip{name.Text, inCommunity(path, name.Value), name.Value == s.Current})
	}
	return s
}

// inCommunity is a page of a community, of all for none.
func inCommunity(path, community string) string {
	if community == "" || !slices.Contains(communityPages, path) {
		return path
	}
	return path + "?" + url.Values{"community": {community}}.Encode()
}
