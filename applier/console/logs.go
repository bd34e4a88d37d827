package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
)

// logsForm is what the form says, as it was typed.
type logsForm struct {
	Community, Webhook, User, Currency string
	Times                              timesForm
}

// IsSet says that the list is narrowed by more than a span of time.
func (f logsForm) IsSet() bool {
	return f.Community != "" || f.Webhook != "" || f.User != "" || f.Currency != "" || f.Times.Since != "" || f.Times.Until != ""
}

type logsData struct {
	Form  logsForm
	Error string // in the form

	Communities, Webhooks, Currencies []option
	Spans                             []chip

	Logs    []admin.Log
	Older   string // addresses
	File    string
	Here    string // this page's own
	IsFirst bool
}

func readLogsForm(c *request) logsForm {
	return logsForm{
		Community: c.QueryParam("community"), Webhook: c.QueryParam("webhook"), User: strings.TrimSpace(c.QueryParam("user")),
		Currency: c.QueryParam("currency"), Times: readTimesForm(c),
	}
}

// logs lists gamification logs, newest first.
func (s *Console) logs(c *request) error {
	seen := c.seen("deliveries")
	form := readLogsForm(c)
	data := logsData{Form: form, Here: c.Request().URL.RequestURI(), File: form.address("/logs.csv", 0), IsFirst: c.QueryParam("before") == ""}
	var err error
	if data.Communities, data.Webhooks, err = s.options(c, form.Webhook); err != nil {
		return err
	}
	if data.Currencies, err = s.currencyOptions(c, form.Community, form.Currency); err != nil {
		return err
	}
	filter, problem, err := s.logFilter(c, &data.Form)
	if err != nil {
		return err
	}
	data.Spans = data.Form.Times.spanChips(func(t timesForm) string {
		f := data.Form
		f.Times = t
		return f.address("/logs", 0)
	})
	if problem != "" {
		data.Error = problem
		return c.pageWith(http.StatusUnprocessableEntity, "logs", "Gamification logs", data)
	}
	filter.Limit = pageSize + 1
	if data.Logs, err = s.Logs.List(c.ctx(), filter); err != nil {
		return err
	}
	if len(data.Logs) > pageSize {
		data.Logs = data.Logs[:pageSize]
		data.Older = form.address("/logs", data.Logs[pageSize-1].Entry)
	}
	if !data.IsFirst {
		return c.page("logs", "Gamification logs", data)
	}
	return c.livePage("logs", "Gamification logs", seen, data)
}

// currencyOptions are the currencies of a community, with the one that is chosen.
func (s *Console) currencyOptions(c *request, community, chosen string) (all []option, err error) {
	if community == "" {
		community = c.firstCommunity()
	}
	list, err := s.Settings.Currencies(c.ctx(), community)
	if err != nil {
		return nil, err
	}
	known := chosen == ""
	for _, currency := range list {
		known = known || currency.Code == chosen
		all = append(all, option{currency.Code, currencyName(currency.Code)})
	}
	if !known {
		all = append(all, option{chosen, chosen})
	}
	return all, nil
}

// logFilter returns what the form asks for, or what is wrong with it.
func (s *Console) logFilter(c *request, form *logsForm) (f history.LogFilter, problem string, err error) {
	f = history.LogFilter{Community: form.Community, WebhookID: form.Webhook, Currency: form.Currency}
	if f.Since, f.Until, problem = form.Times.read(c, time.Now()); problem != "" {
		return f, problem, nil
	}
	if f.Before, err = readBefore(c, "logs: /logs"); err != nil {
		return f, "", err
	}
	f.UserID, problem, err = s.userOf(c, form.Community, form.Webhook, form.User)
	return f, problem, err
}

// address is that of what the form asks for, from an entry on; 0 is the newest.
func (f logsForm) address(path string, before int64) string {
	q := queryOf(map[string]string{"community": f.Community, "webhook": f.Webhook, "user": f.User, "currency": f.Currency})
	f.Times.addTo(q)
	return addressBefore(path, q, before)
}

// logsFile sends all logs of the form as CSV.
func (s *Console) logsFile(c *request) error {
	form := readLogsForm(c)
	filter, problem, err := s.logFilter(c, &form)
	if err != nil {
		return err
	}
	if problem != "" {
		return failf(http.StatusUnprocessableEntity, "%s Go back, and mend the form.", problem)
	}
	filter.Limit = csvPage
	read := func() ([]admin.Log, error) { return s.Logs.List(c.ctx(), filter) }
	return csvFile(c, "gamification-logs", logColumns, read, func(last admin.Log) { filter.Before = last.Entry }, logRow)
}

var logColumns = []string{"at", "email", "username", "user_id", "currency", "operator", "amount", "balance", "action", "delivery_id"}

func logRow(l admin.Log) []string {
	return []string{
		l.At.Format(time.RFC3339Nano), l.User.Email, l.User.Username, l.User.ID.String(), l.Currency,
		l.Operator, l.Amount, l.Balance, l.Action, l.DeliveryID.String(),
	}
}
