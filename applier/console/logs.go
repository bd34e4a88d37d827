package console

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
)

// logsForm is what the form says, as it was typed.
type logsForm struct {
	Community, Webhook, User, Currency, Since, Until string
}

type logsData struct {
	Form  logsForm
	Error string // in the form

	Communities, Webhooks, Currencies []option

	Logs    []history.Log
	Older   string // addresses
	File    string
	Here    string // this page's own
	IsFirst bool
}

func readLogsForm(c *request) logsForm {
	return logsForm{
		Community: c.QueryParam("community"), Webhook: c.QueryParam("webhook"), User: strings.TrimSpace(c.QueryParam("user")),
		Currency: c.QueryParam("currency"), Since: c.QueryParam("since"), Until: c.QueryParam("until"),
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
	filter, problem, err := s.logFilter(c, form)
	if err != nil {
		return err
	}
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
		community = defaultCommunity
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
func (s *Console) logFilter(c *request, form logsForm) (f history.LogFilter, problem string, err error) {
	f = history.LogFilter{Community: form.Community, WebhookID: form.Webhook, Currency: form.Currency}
	if f.Since, f.Until, problem = readSpan(form.Since, form.Until); problem != "" {
		return f, problem, nil
	}
	if text := c.QueryParam("before"); text != "" {
		if f.Before, err = strconv.ParseInt(text, 10, 64); err != nil || f.Before < 1 {
			return f, "", failf(http.StatusBadRequest, "The page's address is not right. Begin again at the newest logs: /logs.")
		}
	}
	f.UserID, problem, err = s.userOf(c, form.Community, form.Webhook, form.User)
	return f, problem, err
}

// address is that of what the form asks for, from an entry on; 0 is the newest.
func (f logsForm) address(path string, before int64) string {
	q := url.Values{}
	for key, value := range map[string]string{
		"community": f.Community, "webhook": f.Webhook, "user": f.User, "currency": f.Currency, "since": f.Since, "until": f.Until,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if before > 0 {
		q.Set("before", strconv.FormatInt(before, 10))
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// logsFile sends all logs of the form as CSV, page by page as they are read.
func (s *Console) logsFile(c *request) error {
	filter, problem, err := s.logFilter(c, readLogsForm(c))
	if err != nil {
		return err
	}
	if problem != "" {
		return failf(http.StatusUnprocessableEntity, "%s Go back, and mend the form.", problem)
	}
	const atOnce = 2000
	filter.Limit = atOnce
	page, err := s.Logs.List(c.ctx(), filter)
	if err != nil {
		return err
	}
	if err := c.record("export gamification logs", "logs", c.QueryString(), nil); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="gamification-logs.csv"`)
	control := http.NewResponseController(c.Response())
	out := csv.NewWriter(c.Response())
	out.UseCRLF = true // RFC 4180
	err = out.Write([]string{"at", "email", "username", "user_id", "currency", "operator", "amount", "balance", "action", "delivery_id"})
	for err == nil {
		_ = control.SetWriteDeadline(time.Now().Add(time.Minute)) // as long as it goes on
		for _, l := range page {
			_ = out.Write(csvRow(l)) // Flush has the error
		}
		out.Flush()
		if err = out.Error(); err != nil || len(page) < atOnce {
			break
		}
		filter.Before = page[len(page)-1].Entry
		page, err = s.Logs.List(c.ctx(), filter)
	}
	if err != nil && c.ctx().Err() == nil {
		// The answer has begun: cut off, it is not taken for all there is.
		s.Log.Error().Err(err).Msg("a download of gamification logs broke off")
		panic(http.ErrAbortHandler)
	}
	return nil
}

func csvRow(l history.Log) []string {
	return []string{
		l.At.Format(time.RFC3339Nano), harmless(l.User.Email), harmless(l.User.Username), l.User.ID.String(), harmless(l.Currency),
		l.Operator, l.Amount, l.Balance, harmless(l.Action), l.DeliveryID.String(),
	}
}

// harmless keeps a spreadsheet from taking a text for a formula.
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
