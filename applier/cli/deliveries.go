package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type deliveriesCmd struct {
	List deliveriesListCmd `cmd:"" help:"List deliveries, newest first; before them those that have been pending for longer than PENDING_LIMIT (default 1h), oldest first."`
	Show deliveriesShowCmd `cmd:"" help:"Show one delivery: payload, reason, changes, executions."`

	Revert deliveriesRevertCmd `cmd:"" help:"Take back the effects of applied deliveries. Shows a plan first."`
}

// listFlags are those of every list that is about webhooks and users.
type listFlags struct {
	Webhook string `placeholder:"W" help:"Only of this webhook, by name or id."`
	User    string `placeholder:"U" help:"Only of this user, by id, email or username."`
	Since   *ago   `placeholder:"D" help:"Only since then: 90m, 24h, 7d or a date."`
	Until   *ago   `placeholder:"T" help:"Only until then, as --since."`
	limitFlag
}

type resolved struct {
	webhookID string
	userID    delivery.ID
	since     time.Time
	until     time.Time // before it
}

func (f listFlags) isNarrow() bool {
	return f.Webhook != "" || f.User != "" || f.Since != nil || f.Until != nil
}

// resolve turns names into ids.
func (f listFlags) resolve(a *app) (r resolved, err error) {
	if err := f.checkLimit(); err != nil {
		return r, err
	}
	if f.Webhook != "" {
		service, err := a.webhooks()
		if err != nil {
			return r, err
		}
		saved, err := service.FindEver(a.ctx, a.community(), f.Webhook)
		if err != nil {
			return r, a.webhookElsewhere(service, err, f.Webhook)
		}
		r.webhookID = saved.ID
	}
	if f.User != "" {
		u, err := findUser(a, f.User)
		if err != nil {
			return r, err
		}
		r.userID = u.ID
	}
	r.since, r.until, err = a.span(f.Since, f.Until)
	return r, err
}

type deliveriesListCmd struct {
	Status string `placeholder:"S" enum:",pending,success,failed" default:"" help:"Only with this status: pending, success or failed."`
	Reason string `placeholder:"R" help:"Only failed for this reason."`
	Before string `placeholder:"ID" help:"Continue after this delivery, the last of the previous list: only older ones."`
	listFlags
}

func (c *deliveriesListCmd) Run(a *app) error {
	if err := checkReason(c.Reason); err != nil {
		return err
	}
	r, err := c.resolve(a)
	if err != nil {
		return err
	}
	h, err := a.history()
	if err != nil {
		return err
	}
	list, err := c.list(a, h, history.Filter{
		Community: a.flags.Community, WebhookID: r.webhookID, UserID: r.userID, Since: r.since, Until: r.until,
		Status: delivery.Status(c.Status), Reason: delivery.Reason(c.Reason), Limit: c.Limit,
	})
	if err != nil {
		return withoutDatabase(err)
	}
	a.sayUnchecked(list.Unchecked)
	if n := len(list.Deliveries); n == c.Limit {
		a.say("There may be more: add --before %s, or a larger --limit.", list.Deliveries[n-1].ID)
	} else if n == 0 {
		a.sayDrafts(r.webhookID)
	}
	if list.CutShort {
		a.say("Too much is pending to read all of it: there may be more. Narrow the list with --since, or try again later.")
	}
	if a.json() {
		return a.printJSON(list.Deliveries)
	}
	head, err := h.Head(a.ctx)
	if err != nil {
		return err
	}
	a.printHead(head, a.flags.Community != "" || c.Status != "" || c.Reason != "" || c.isNarrow())
	if list.Unchecked == nil {
		if err := a.printParked(h, r.webhookID); err != nil {
			return err
		}
	}
	return printInCommunities(a, list.Deliveries, func(d admin.Delivery) string { return d.Community }, []string{"received", "status", "webhook", "user", "result", "id"}, func(d admin.Delivery) []string {
		return []string{localTime(d.ReceivedAt), statusMark(d.Status), d.Webhook, d.User.Name(), d.Result(), d.ID.String()}
	})
}

// list is a page of the history, or its beginning with what is overdue.
func (c *deliveriesListCmd) list(a *app, h *history.History, f history.Filter) (history.Listing, error) {
	if c.Before == "" {
		return h.List(a.ctx, f)
	}
	before, err := delivery.ParseID(c.Before)
	if err != nil {
		return history.Listing{}, usagef("--before: %q is %w", c.Before, err)
	}
	page, err := h.Page(a.ctx, f, history.Place{Before: before})
	return history.Listing{Deliveries: page.Deliveries, CutShort: page.CutShort, Unchecked: page.Unchecked}, err
}

// sayDrafts says where requests are that became no deliveries. An error of it is none of
// the list.
func (a *app) sayDrafts(webhookID string) {
	service, err := a.webhooks()
	if err != nil {
		return
	}
	all, err := service.List(a.ctx, a.flags.Community)
	if err != nil {
		return
	}
	for _, w := range all {
		if w.State == webhook.Draft && (webhookID == "" || w.ID == webhookID) {
			a.say("The webhook %q is a draft: its requests are samples, not deliveries. `coinhook webhooks catch %s` shows the newest.", printable(w.Name), w.ID)
		}
	}
}

func reasonNames() []string {
	return each(delivery.Reasons(), func(r delivery.Reason) string { return string(r) })
}

func checkReason(reason string) error {
	known := reasonNames()
	if reason == "" || slices.Contains(known, reason) {
		return nil
	}
	if like := quoted(webhook.Alike(reason, known)); like != "" {
		return usagef("--reason: there is no reason %q: did you mean %s?", reason, like)
	}
	return usagef("--reason is one of %s, not %q", strings.Join(known, ", "), reason)
}
