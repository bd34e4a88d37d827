package console

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

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
	q := queryOf(map[string]string{
		"status": f.Status, "outcome": f.Outcome, "community": f.Community, "webhook": f.Webhook, "user": f.User, "reason": f.Reason, "key": f.Key,
	})
	f.Times.addTo(q)
	return q
}

// Address is that of a page of what the form asks for.
func (f historiesForm) Address(path string) string { return addressOf(path, f.query()) }

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

// setChips are the parts of the form that have no chips of their own.
func (f historiesForm) setChips(webhooks []option) []setChip {
	webhook := func(id string) string {
		if i := slices.IndexFunc(webhooks, func(w option) bool { return w.Value == id }); i >= 0 {
			return webhooks[i].Text
		}
		return id
	}
	return setChipsOf(
		func() string { return f.Address("/deliveries") },
		formPart{"Webhook", &f.Webhook, webhook},
		formPart{"Community", &f.Community, asIs},
		formPart{"User", &f.User, asIs},
		formPart{"Reason", &f.Reason, func(code string) string { return reasonText(code) }},
		formPart{"Key", &f.Key, asIs},
		formPart{"Since", &f.Times.Since, timeText},
		formPart{"Until", &f.Times.Until, timeText},
	)
}

// place reads where the page begins.
func place(c *request) (at history.Place, err error) {
	for name, id := range map[string]*delivery.ID{"before": &at.Before, "after": &at.After} {
		if text := c.QueryParam(name); text != "" {
			if *id, err = delivery.ParseID(text); err != nil {
				return at, wrongPlace("deliveries: /deliveries")
			}
		}
	}
	return at, nil
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
