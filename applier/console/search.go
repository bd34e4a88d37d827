package console

import (
	"errors"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// foundShown bounds each group of what is found.
	foundShown = 10
	// searchedUsers is how many of the newest users are searched for a part of a name. By
	// all of a name each user is found.
	searchedUsers = 50_000
)

type searchData struct {
	Query string
	// Delivery has the id that was searched for.
	Delivery *admin.Delivery
	// Keyed came with it as their idempotency key.
	Keyed    []admin.Delivery
	Users    []userRow
	Webhooks []webhooks.Stored
}

// Found is how many there are.
func (d searchData) Found() int {
	n := len(d.Keyed) + len(d.Users) + len(d.Webhooks)
	if d.Delivery != nil {
		n++
	}
	return n
}

// search finds deliveries by id or idempotency key, users and webhooks.
func (s *Console) search(c *request) error {
	data := searchData{Query: strings.TrimSpace(c.QueryParam("q"))}
	if data.Query == "" {
		return c.page("search", "Search", data)
	}
	all, err := s.Webhooks.List(c.ctx(), "")
	if err != nil {
		return err
	}
	ids := make([]string, len(all))
	for i, w := range all {
		ids[i] = w.ID
		isNamed := w.ID == data.Query || strings.Contains(strings.ToLower(w.Name), strings.ToLower(data.Query))
		if isNamed && len(data.Webhooks) < foundShown {
			data.Webhooks = append(data.Webhooks, w)
		}
	}
	if err := s.searchDeliveries(c, ids, &data); err != nil {
		return err
	}
	if data.Users, err = s.searchUsers(c, data.Query); err != nil {
		return err
	}
	return c.page("search", "Search", data)
}

func (s *Console) searchDeliveries(c *request, webhookIDs []string, data *searchData) error {
	if id, err := delivery.ParseID(data.Query); err == nil {
		full, err := s.History.Show(c.ctx(), id)
		if err == nil {
			data.Delivery = &full.Delivery
		} else if !errors.Is(err, history.ErrNotFound) {
			return err
		}
	}
	keyed, err := s.History.Keyed(c.ctx(), webhookIDs, data.Query, foundShown)
	if err != nil || len(keyed) == 0 {
		return err
	}
	page, err := s.History.Page(c.ctx(), history.Filter{IDs: keyed, Limit: foundShown}, history.Place{})
	data.Keyed = page.Deliveries
	return err
}

// searchUsers finds users by all of a name first, then by a part of it.
func (s *Console) searchUsers(c *request, query string) (rows []userRow, err error) {
	named, err := s.Users.FindNamed(c.ctx(), nil, query, foundShown)
	if err != nil {
		return nil, err
	}
	shown := map[delivery.ID]bool{}
	for _, u := range named {
		profile, err := s.Users.Profile(c.ctx(), u.Community, u.ID.String())
		if err != nil {
			return nil, err
		}
		shown[u.ID] = true
		rows = append(rows, userRow{profile, amountsOf(profile.Balances)})
	}
	if len(rows) == foundShown {
		return rows, nil
	}
	partly, err := s.Users.List(c.ctx(), users.Filter{Search: query, Among: searchedUsers, Limit: foundShown})
	for _, u := range partly {
		if !shown[u.ID] && len(rows) < foundShown {
			rows = append(rows, userRow{u, amountsOf(u.Balances)})
		}
	}
	return rows, err
}
