package console

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
)

// health is what became of a webhook's deliveries within a time.
type health struct {
	history.Count
	Rejected int64
}

// Rate is the share of successes in percent, cut off: 100 % are all. It is a dash where
// there were no deliveries.
func (h health) Rate() string {
	if h.All() == 0 {
		return "–"
	}
	share := h.Success() * 10_000 / h.All()
	return fmt.Sprintf("%d.%02d %%", share/100, share%100)
}

type webhookOverview struct {
	webhookHead
	Health     []health // of 24 hours and of 7 days, or none
	Activity   *history.Activity
	Unknown    bool // PostgreSQL does not tell
	Deliveries []admin.Delivery
}

// latestShown is how many deliveries the overview of a webhook has.
const latestShown = 10

// webhookPage shows how a webhook does; of a draft what is to be done.
func (s *Console) webhookPage(c *request, w webhooks.Stored) error {
	data := webhookOverview{webhookHead: s.webhookHead(c, w, tabOverview)}
	if data.IsDraft() {
		return s.webhookMapping(c, w)
	}
	seen := c.seen()
	for _, span := range []struct{ long, step time.Duration }{{24 * time.Hour, time.Hour}, {7 * 24 * time.Hour, 6 * time.Hour}} {
		var one health
		now := time.Now()
		counts, err := s.History.Counts(c.ctx(), history.CountFilter{WebhookID: w.ID}, now.Add(-span.long), now, span.step)
		if err != nil {
			s.Log.Warn().Err(err).Str("webhook_id", w.ID).Msg("cannot count a webhook's deliveries")
			data.Unknown, data.Health = true, nil
			break
		}
		one.Count = counts.Total
		rejections, err := webhooks.ListRejections(c.ctx(), s.Rejections, w.ID, now.Add(-span.long), 0)
		if err != nil {
			return err
		}
		for _, n := range rejections.Counts {
			one.Rejected += n
		}
		data.Health = append(data.Health, one)
	}
	if activities, err := s.History.Activities(c.ctx(), []string{w.ID}); err != nil {
		data.Unknown = true
	} else if a, ok := activities[w.ID]; ok {
		data.Activity = &a
	}
	if page, err := s.History.Page(c.ctx(), history.Filter{WebhookID: w.ID, Limit: latestShown}, history.Place{}); err != nil {
		data.Unknown = true
	} else {
		data.Deliveries = page.Deliveries
	}
	return c.livePage("webhook-overview", w.Name, seen, &data)
}

type webhookDeliveries struct {
	webhookHead
	Status       string
	Deliveries   []admin.Delivery
	Unchecked    bool
	CutShort     bool // some pending deliveries were not read
	Older, Newer string
}

// Statuses are what the list can be narrowed to.
func (d *webhookDeliveries) Statuses() []chip {
	all := []chip{{"All", d.Here(), d.Status == ""}}
	for _, status := range []string{"pending", "success", "failed"} {
		all = append(all, chip{status, d.Here() + "?status=" + status, d.Status == status})
	}
	return all
}

// webhookDeliveries lists what a webhook was sent.
func (s *Console) webhookDeliveries(c *request, w webhooks.Stored) error {
	seen := c.seen()
	at, err := place(c)
	if err != nil {
		return err
	}
	data := webhookDeliveries{webhookHead: s.webhookHead(c, w, tabDeliveries), Status: c.QueryParam("status")}
	filter, problem, err := s.historyFilter(c, &listForm{url.Values{"webhook": {w.ID}, "status": {data.Status}}})
	if err != nil {
		return err
	}
	if problem != "" {
		return failf(http.StatusUnprocessableEntity, "%s", problem)
	}
	page, err := s.History.Page(c.ctx(), filter, at)
	if err != nil {
		return err
	}
	data.Deliveries, data.Unchecked, data.CutShort = page.Deliveries, page.Unchecked != nil, page.CutShort
	if n := len(page.Deliveries); n > 0 {
		if page.Older {
			data.Older = data.Here() + "?status=" + data.Status + "&before=" + page.Deliveries[n-1].ID.String()
		}
		if page.Newer {
			data.Newer = data.Here() + "?status=" + data.Status + "&after=" + page.Deliveries[0].ID.String()
		}
	}
	return c.livePage("webhook-deliveries", "Deliveries of "+w.Name, seen, &data)
}
