package console

import (
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func readHistoriesForm(c *request) listForm {
	return readListForm(c, "status", "outcome", "community", "webhook", "user", "reason", "key")
}

// statusChip is a status or an outcome to choose, with how many there are, if known.
type statusChip struct {
	chip
	Count   int64
	Counted bool
}

// statusChips are the statuses and outcomes, as links that keep the rest of the form.
func statusChips(f listForm, total *history.Count) (all []statusChip) {
	add := func(name, status, outcome string, count func(history.Count) int64) {
		one := f.with("status", status).with("outcome", outcome)
		if outcome != "" || status != "failed" && status != "" {
			one = one.with("reason", "")
		}
		s := statusChip{chip: chip{name, one.Address("/deliveries"), f.Get("status") == status && f.Get("outcome") == outcome}}
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

// historyChips are the parts of the form that have no chips of their own.
func historyChips(f listForm, webhooks []option) []setChip {
	webhook := func(id string) string {
		if i := slices.IndexFunc(webhooks, func(w option) bool { return w.Value == id }); i >= 0 {
			return webhooks[i].Text
		}
		return id
	}
	return f.setChips("/deliveries", formPart{"Webhook", "webhook", webhook}, formPart{"Community", "community", nil}, formPart{"User", "user", nil},
		formPart{"Reason", "reason", func(code string) string { return reasonText(code) }}, formPart{"Key", "key", nil})
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
func (s *Console) historyFilter(c *request, form *listForm) (f history.Filter, problem string, err error) {
	community, webhook := form.Get("community"), form.Get("webhook")
	f = history.Filter{
		Community: community, WebhookID: webhook, Status: delivery.Status(form.Get("status")),
		Outcome: delivery.Outcome(form.Get("outcome")), Reason: delivery.Reason(form.Get("reason")), Limit: pageSize,
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
	if f.Reason != "" && !slices.Contains(delivery.Reasons(), f.Reason) {
		return f, "There is no such reason.", nil
	}
	if f.Since, f.Until, problem = form.readTimes(c, time.Now()); problem != "" {
		return f, problem, nil
	}
	if form.Has("key") {
		if f.IDs, err = s.keyed(c, community, webhook, form.Get("key")); err != nil {
			return f, "", err
		}
	}
	f.UserID, problem, err = s.userOf(c, community, webhook, form.Get("user"))
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
