package console

import (
	"net/http"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// overdueShown is how many overdue deliveries stand above the list.
const overdueShown = 5

type historiesData struct {
	Form     listForm
	Error    string // in the form
	Statuses []statusChip
	Spans    []chip
	Set      []setChip

	Communities, Webhooks []option

	Deliveries   []admin.Delivery
	Overdue      []admin.Delivery
	Head         headData
	Parked       []parkedRow
	Older, Newer string // addresses
	IsFirst      bool
	Unchecked    bool
	CutShort     bool // some pending deliveries were not read
}

// ManyCommunities says that rows have to tell their community.
func (d historiesData) ManyCommunities() bool {
	return len(d.Communities) > 1 && !d.Form.Has("community")
}

// headData says above the list what is pending for too long.
type headData struct {
	history.Head
	Causes []string
	Advice string
}

// histories lists deliveries, newest first.
func (s *Console) histories(c *request) error {
	seen := c.seen()
	data := historiesData{Form: readHistoriesForm(c)}
	var err error
	if data.Communities, data.Webhooks, err = s.options(c, data.Form.Get("webhook")); err != nil {
		return err
	}
	filter, problem, err := s.historyFilter(c, &data.Form)
	if err != nil {
		return err
	}
	data.Statuses = statusChips(data.Form, s.countsOf(c, filter, data.Form))
	data.Set, data.Spans = historyChips(data.Form, data.Webhooks), data.Form.spanChips("/deliveries")
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
func (s *Console) countsOf(c *request, f history.Filter, form listForm) *history.Count {
	if f.Since.IsZero() || !form.Has("span") || form.Has("user") || form.Has("reason") || form.Has("key") || isUnasked(c.Request()) {
		return nil
	}
	count := history.CountFilter{WebhookID: f.WebhookID}
	if f.Community != "" {
		count.Communities = []string{f.Community}
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
			data.Older = data.Form.with("before", page.Deliveries[n-1].ID.String()).Address("/deliveries")
		}
		if page.Newer {
			data.Newer = data.Form.with("after", page.Deliveries[0].ID.String()).Address("/deliveries")
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
