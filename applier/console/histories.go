package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const defaultCommunity = "default"

// overdueShown is how many overdue deliveries stand above the list.
const overdueShown = 5

// historiesForm is what the form says, as it was typed.
type historiesForm struct {
	Status, Outcome, Community, Webhook, User, Reason, Key string
	Times                                                  timesForm
}

func readHistoriesForm(c *request) historiesForm {
	value := func(name string) string { return strings.TrimSpace(c.QueryParam(name)) }
	return historiesForm{
		Status: value("status"), Outcome: value("outcome"), Community: value("community"), Webhook: value("webhook"),
		User: value("user"), Reason: value("reason"), Key: value("key"), Times: readTimesForm(c),
	}
}

// query is the address that has all of the form.
func (f historiesForm) query() url.Values {
	q := url.Values{}
	for key, value := range map[string]string{
		"status": f.Status, "outcome": f.Outcome, "community": f.Community, "webhook": f.Webhook, "user": f.User, "reason": f.Reason, "key": f.Key,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	f.Times.addTo(q)
	return q
}

// Address is that of a page of what the form asks for.
func (f historiesForm) Address(path string) string {
	if q := f.query(); len(q) > 0 {
		return path + "?" + q.Encode()
	}
	return path
}

// place is the address of a page from a delivery on.
func (f historiesForm) place(name string, id delivery.ID) string {
	q := f.query()
	q.Set(name, id.String())
	return "/deliveries?" + q.Encode()
}

// statusChip is a status or an outcome to choose, with how many there are, if known.
type statusChip struct {
	chip
	Count   int64
	Counted bool
}

// statusChips are the statuses and outcomes, as links that keep the rest of the form.
func (f historiesForm) statusChips(total *history.Count) (all []statusChip) {
	add := func(name, status, outcome string, count func(history.Count) int64) {
		one := f
		one.Status, one.Outcome = status, outcome
		if outcome != "" || status != "failed" && status != "" {
			one.Reason = ""
		}
		s := statusChip{chip: chip{name, one.Address("/deliveries"), f.Status == status && f.Outcome == outcome}}
		if total != nil && count != nil {
			s.Count, s.Counted = count(*total), true
		}
		all = append(all, s)
	}
	add("All", "", "", nil)
	add("Pending", "pending", "", nil)
	add("Success", "success", "", history.Count.Success)
	add("Applied", "success", "applied", func(c history.Count) int64 { return c.Applied })
	add("Duplicate", "success", "duplicate", func(c history.Count) int64 { return c.Duplicate })
	add("Skipped", "success", "skipped", func(c history.Count) int64 { return c.Skipped })
	add("Failed", "failed", "", func(c history.Count) int64 { return c.Failed })
	return all
}

// setChip is a part of the form that is set, and the address of the list without it.
type setChip struct{ Name, Value, Without string }

// setChips are the parts of the form that have no chips of their own.
func (f historiesForm) setChips(webhooks []option) (all []setChip) {
	for _, part := range []struct {
		name  string
		value *string
	}{{"Webhook", &f.Webhook}, {"Community", &f.Community}, {"User", &f.User}, {"Reason", &f.Reason}, {"Key", &f.Key}, {"Since", &f.Times.Since}, {"Until", &f.Times.Until}} {
		text := *part.value
		if text == "" {
			continue
		}
		*part.value = ""
		without := f.Address("/deliveries")
		*part.value = text
		for _, w := range webhooks {
			if part.name == "Webhook" && w.Value == text {
				text = w.Text
			}
		}
		switch part.name {
		case "Reason":
			text = reasonText(text)
		case "Since", "Until":
			text = strings.Replace(text, "T", " ", 1)
		}
		all = append(all, setChip{part.name, text, without})
	}
	return all
}

type option struct{ Value, Text string }

type historiesData struct {
	Form     historiesForm
	Error    string // in the form
	Statuses []statusChip
	Spans    []chip
	Set      []setChip

	Communities, Webhooks []option
	Reasons               []delivery.Reason

	Deliveries   []history.Delivery
	Overdue      []history.Delivery
	Head         headData
	Parked       []parkedRow
	Older, Newer string // addresses
	Here         string // this page's own
	IsFirst      bool
	Unchecked    bool
	CutShort     bool // some pending deliveries were not read
}

// ManyCommunities says that rows have to tell their community.
func (d historiesData) ManyCommunities() bool {
	return len(d.Communities) > 1 && d.Form.Community == ""
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
	data := historiesData{Form: readHistoriesForm(c), Reasons: delivery.Reasons(), Here: c.Request().URL.RequestURI()}
	if err := s.addOptions(c, &data); err != nil {
		return err
	}
	filter, problem, err := s.historyFilter(c, &data.Form)
	if err != nil {
		return err
	}
	data.Statuses, data.Set = data.Form.statusChips(s.countsOf(c, filter, data.Form)), data.Form.setChips(data.Webhooks)
	data.Spans = data.Form.Times.spanChips(func(t timesForm) string {
		f := data.Form
		f.Times = t
		return f.Address("/deliveries")
	})
	if problem != "" {
		data.Error = problem
		return c.pageWith(http.StatusUnprocessableEntity, "histories", "Histories", data)
	}
	if err := s.addDeliveries(c, filter, &data); err != nil {
		return err
	}
	return c.livePage("histories", "Histories", seen, data)
}

// countsOf counts what the chips are about. It is nil where only the rows could tell: for
// a user, a reason or a key, and for times that are no whole span.
func (s *Console) countsOf(c *request, f history.Filter, form historiesForm) *history.Count {
	if f.Since.IsZero() || form.Times.Span == "" || form.User != "" || form.Reason != "" || form.Key != "" || isUnasked(c.Request()) {
		return nil
	}
	count := history.CountFilter{WebhookID: form.Webhook}
	if form.Community != "" {
		count.Communities = []string{form.Community}
	}
	total, complete, err := s.History.Total(c.ctx(), count, f.Since, time.Now())
	if err != nil {
		s.Log.Warn().Err(err).Msg("cannot count deliveries")
	}
	if err != nil || !complete {
		return nil
	}
	return &total
}

// historiesFile sends all deliveries of the form that have outcomes as CSV.
func (s *Console) historiesFile(c *request) error {
	form := readHistoriesForm(c)
	filter, problem, err := s.historyFilter(c, &form)
	if err != nil {
		return err
	}
	if problem != "" {
		return failf(http.StatusUnprocessableEntity, "%s Go back, and mend the form.", problem)
	}
	filter.Limit = csvPage
	var at history.Place
	read := func() ([]history.Delivery, error) {
		page, err := s.History.Page(c.ctx(), filter, at)
		return page.Deliveries, err
	}
	return csvFile(c, "deliveries", deliveryColumns, read, func(last history.Delivery) { at.Before = last.ID }, deliveryRow)
}

var deliveryColumns = []string{
	"id", "status", "outcome", "reason", "detail", "community", "webhook_id", "webhook", "user_id", "email", "username",
	"changes", "fields", "received_at", "finished_at", "attempts", "replays", "duplicate_of",
}

func deliveryRow(d history.Delivery) []string {
	row := []string{
		d.ID.String(), string(d.Status), "", "", textOf(d.Detail), d.Community, d.WebhookID, d.Webhook, "", "", "",
		admin.ChangesText(d.Changes), admin.FieldsText(d.Fields), d.ReceivedAt.Format(time.RFC3339Nano), "", strconv.Itoa(d.Attempts), strconv.Itoa(d.Replays), "",
	}
	if d.Outcome != nil {
		row[2] = string(*d.Outcome)
	}
	if d.Reason != nil {
		row[3] = string(*d.Reason)
	}
	if d.User != nil {
		row[8], row[9], row[10] = d.User.ID.String(), d.User.Email, d.User.Username
	}
	if d.FinishedAt != nil {
		row[14] = d.FinishedAt.Format(time.RFC3339Nano)
	}
	if d.DuplicateOf != nil {
		row[17] = d.DuplicateOf.String()
	}
	return row
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
			data.Older = data.Form.place("before", page.Deliveries[n-1].ID)
		}
		if page.Newer {
			data.Newer = data.Form.place("after", page.Deliveries[0].ID)
		}
	}
	if data.IsFirst = at == (history.Place{}); !data.IsFirst {
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
	if c.sees(defaultCommunity) {
		names = append(names, defaultCommunity)
	}
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
func (s *Console) historyFilter(c *request, form *historiesForm) (f history.Filter, problem string, err error) {
	f = history.Filter{
		Community: form.Community, WebhookID: form.Webhook, Status: delivery.Status(form.Status),
		Outcome: delivery.Outcome(form.Outcome), Reason: delivery.Reason(form.Reason), Limit: pageSize,
	}
	switch f.Status {
	case "", delivery.Pending, delivery.Success, delivery.Failed:
	default:
		return f, "A status is pending, success or failed.", nil
	}
	switch f.Outcome {
	case "", delivery.Applied, delivery.Duplicate, delivery.Skipped:
	default:
		return f, "An outcome is applied, duplicate or skipped.", nil
	}
	if form.Reason != "" && !slices.Contains(delivery.Reasons(), f.Reason) {
		return f, "There is no such reason.", nil
	}
	if f.Since, f.Until, problem = form.Times.read(c, time.Now()); problem != "" {
		return f, problem, nil
	}
	if form.Key != "" {
		if f.IDs, err = s.keyed(c, form.Community, form.Webhook, form.Key); err != nil {
			return f, "", err
		}
	}
	f.UserID, problem, err = s.userOf(c, form.Community, form.Webhook, form.User)
	return f, problem, err
}

// keyedAtMost bounds how many deliveries with one key a list has.
const keyedAtMost = 500

// keyed are the deliveries with an idempotency key: of a webhook, a community, or all.
func (s *Console) keyed(c *request, community, webhookID, key string) ([]delivery.ID, error) {
	ids := []string{webhookID}
	if webhookID == "" {
		all, err := s.Webhooks.List(c.ctx(), community)
		if err != nil {
			return nil, err
		}
		ids = ids[:0]
		for _, w := range all {
			ids = append(ids, w.ID)
		}
	}
	found, err := s.History.Keyed(c.ctx(), ids, key, keyedAtMost)
	if found == nil {
		found = []delivery.ID{} // nil is all
	}
	return found, err
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
