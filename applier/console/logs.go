package console

import (
	"net/http"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
)

type logsData struct {
	Form  listForm
	Error string // in the form

	Communities, Webhooks, Currencies []option
	Spans                             []chip

	Logs    []admin.Log
	Older   string // addresses
	File    string
	IsFirst bool
}

func readLogsForm(c *request) listForm {
	return readListForm(c, "community", "webhook", "user", "currency")
}

// logs lists gamification logs, newest first.
func (s *Console) logs(c *request) error {
	seen := c.seen()
	form := readLogsForm(c)
	data := logsData{Form: form, File: form.Address("/logs.csv"), IsFirst: c.QueryParam("before") == ""}
	var err error
	if data.Communities, data.Webhooks, err = s.options(c, form.Get("webhook")); err != nil {
		return err
	}
	if data.Currencies, err = s.currencyOptions(c, form.Get("community"), form.Get("currency")); err != nil {
		return err
	}
	filter, problem, err := s.logFilter(c, &data.Form)
	if err != nil {
		return err
	}
	data.Spans = data.Form.spanChips("/logs")
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
		data.Older = form.before(data.Logs[pageSize-1].Entry).Address("/logs")
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
	for _, currency := range list {
		all = append(all, option{currency.Code, currencyName(currency.Code)})
	}
	return withChosen(all, chosen), nil
}

// logFilter returns what the form asks for, or what is wrong with it.
func (s *Console) logFilter(c *request, form *listForm) (f history.LogFilter, problem string, err error) {
	f = history.LogFilter{Community: form.Get("community"), WebhookID: form.Get("webhook"), Currency: form.Get("currency")}
	if f.Since, f.Until, problem = form.readTimes(c, time.Now()); problem != "" {
		return f, problem, nil
	}
	if f.Before, err = readBefore(c, "logs: /logs"); err != nil {
		return f, "", err
	}
	f.UserID, problem, err = s.userOf(c, f.Community, f.WebhookID, form.Get("user"))
	return f, problem, err
}

// logsFile sends all logs of the form as CSV.
func (s *Console) logsFile(c *request) error {
	form := readLogsForm(c)
	filter, problem, err := s.logFilter(c, &form)
	if err != nil {
		return err
	}
	if problem != "" {
		return failf(http.StatusUnprocessableEntity, "%s Go back and correct the form.", problem)
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
