package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const defaultCommunity = "default"

// overdueShown is how many overdue deliveries stand above the list.
const overdueShown = 5

// historiesForm is what the form says, as it was typed.
type historiesForm struct {
	Status, Community, Webhook, User, Reason, Since, Until string
}

type option struct{ Value, Text string }

type historiesData struct {
	Form  historiesForm
	Error string // in the form

	Communities, Webhooks []option
	Reasons               []delivery.Reason

	Deliveries   []history.Delivery
	Overdue      []history.Delivery
	Head         headData
	Parked       []parkedRow
	Older, Newer string // addresses
	Here         string // this page's own
	Unchecked    bool
	CutShort     bool // some pending deliveries were not read
}

// headData says above the list what is pending for too long.
type headData struct {
	history.Head
	Causes []string
	Advice string
}

// histories lists deliveries, newest first.
func (s *Console) histories(c *request) error {
	seen := c.seen("deliveries")
	form := historiesForm{
		Status: c.QueryParam("status"), Community: c.QueryParam("community"), Webhook: c.QueryParam("webhook"), User: strings.TrimSpace(c.QueryParam("user")),
		Reason: c.QueryParam("reason"), Since: c.QueryParam("since"), Until: c.QueryParam("until"),
	}
	data := historiesData{Form: form, Reasons: delivery.Reasons(), Here: c.Request().URL.RequestURI()}
	if err := s.addOptions(c, &data); err != nil {
		return err
	}
	filter, problem, err := s.historyFilter(c, form)
	if err != nil {
		return err
	}
	if problem != "" {
		data.Error = problem
		return c.pageWith(http.StatusUnprocessableEntity, "histories", "Histories", data)
	}
	if err := s.addDeliveries(c, filter, &data); err != nil {
		return err
	}
	return c.livePage("histories", "Histories", seen, data)
}

func (s *Console) addDeliveries(c *request, filter history.Filter, data *historiesData) error {
	at, err := place(c)
	if err != nil {
		return err
	}
	page, err := s.History.Page(c.ctx(), filter, at)
	if err == nil && at.After != (delivery.ID{}) && !page.Newer { // what is newest is a full page
		at = history.Place{}
		page, err = s.History.Page(c.ctx(), filter, at)
	}
	if err != nil {
		return err
	}
	data.Deliveries, data.Unchecked, data.CutShort = page.Deliveries, page.Unchecked != nil, page.CutShort
	if n := len(page.Deliveries); n > 0 {
		if page.Older {
			data.Older = data.Form.address("before", page.Deliveries[n-1].ID)
		}
		if page.Newer {
			data.Newer = data.Form.address("after", page.Deliveries[0].ID)
		}
	}
	if at != (history.Place{}) {
		return nil
	}
	if !data.Unchecked {
		data.Parked = s.parked(c, filter.WebhookID, filter.Community)
	}
	filter.Limit = overdueShown
	if data.Overdue, err = s.History.Overdue(c.ctx(), filter); err != nil || len(data.Overdue) == 0 {
		return err
	}
	if data.Head.Head, err = s.History.Head(c.ctx()); err != nil {
		return err
	}
	data.Head.Causes, data.Head.Advice = data.Head.InTheWay()
	return nil
}

// place reads where the page begins.
func place(c *request) (at history.Place, err error) {
	for name, id := range map[string]*delivery.ID{"before": &at.Before, "after": &at.After} {
		if text := c.QueryParam(name); text != "" {
			if *id, err = delivery.ParseID(text); err != nil {
				return at, failf(http.StatusBadRequest, "The page's address is not right. Begin again at the newest deliveries: /deliveries.")
			}
		}
	}
	return at, nil
}

// address is that of a page of what the form asks for.
func (f historiesForm) address(name string, id delivery.ID) string {
	q := url.Values{name: {id.String()}}
	for key, value := range map[string]string{
		"status": f.Status, "community": f.Community, "webhook": f.Webhook, "user": f.User,
		"reason": f.Reason, "since": f.Since, "until": f.Until,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	return "/deliveries?" + q.Encode()
}

// addOptions fills the lists to choose from.
func (s *Console) addOptions(c *request, data *historiesData) (err error) {
	data.Communities, data.Webhooks, err = s.options(c, data.Form.Webhook)
	return err
}

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
	names = append(names, defaultCommunity)
	known := chosen == ""
	for _, w := range all {
		names = append(names, w.Community)
		known = known || w.ID == chosen
		webhooks = append(webhooks, option{w.ID, w.Name + " (" + w.Community + ")"})
	}
	if !known {
		webhooks = append(webhooks, option{chosen, chosen})
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		communities = append(communities, option{name, name})
	}
	return communities, webhooks, nil
}

// historyFilter returns what the form asks for, or what is wrong with it.
func (s *Console) historyFilter(c *request, form historiesForm) (f history.Filter, problem string, err error) {
	f = history.Filter{
		Community: form.Community, WebhookID: form.Webhook, Status: delivery.Status(form.Status),
		Reason: delivery.Reason(form.Reason), Limit: pageSize,
	}
	switch f.Status {
	case "", delivery.Pending, delivery.Success, delivery.Failed:
	default:
		return f, "A status is pending, success or failed.", nil
	}
	if form.Reason != "" && !slices.Contains(delivery.Reasons(), f.Reason) {
		return f, "There is no such reason.", nil
	}
	if f.Since, f.Until, problem = readSpan(form.Since, form.Until); problem != "" {
		return f, problem, nil
	}
	f.UserID, problem, err = s.userOf(c, form.Community, form.Webhook, form.User)
	return f, problem, err
}

// readSpan reads two times, of which either may be empty, or says what is wrong.
func readSpan(from, to string) (since, until time.Time, problem string) {
	var ok bool
	if since, ok = readTime(from); !ok {
		return since, until, "Since is not a time."
	}
	if until, ok = readTime(to); !ok {
		return since, until, "Until is not a time."
	}
	return since, until, ""
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

// readTime reads what a browser's datetime-local field sends, in UTC, and RFC 3339.
func readTime(text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
