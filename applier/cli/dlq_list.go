package cli

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type dlqListCmd struct {
	dlqFilterFlags
	limitFlag
}

func (c *dlqListCmd) Run(a *app) error {
	if err := c.checkLimit(); err != nil {
		return err
	}
	f, letters, err := c.open(a)
	if err != nil {
		return err
	}
	f.Limit = min(c.Limit, math.MaxInt-1) + 1 // one more, to know whether that is all

	// JSON is written as it goes, because there may be many. A table needs all rows.
	array, rows := a.newJSONArray(), []admin.Letter{}
	shown, more := 0, false
	for d, err := range letters.All(a.ctx, f) {
		if err != nil {
			return err
		}
		if more = shown == c.Limit; more {
			break
		}
		shown++
		if !a.json() {
			rows = append(rows, d)
		} else if err := array.add(d); err != nil {
			return err
		}
	}
	if a.json() {
		err = array.close()
	} else {
		err = a.printLetters(rows)
	}
	if err == nil && more {
		a.say("There are more than these %d: see them with --limit N, or counted with `coinhook dlq groups`.", shown)
	}
	return err
}

func (a *app) printLetters(letters []admin.Letter) error {
	community := func(d admin.Letter) string { return d.Community }
	return printInCommunities(a, letters, community, []string{"received", "webhook", "reason", "path", "user", "replays", "id"}, func(d admin.Letter) []string {
		return []string{localTime(d.ReceivedAt), webhookName(d), d.Result(), admin.OrEmpty(d.Path), deadLetterUser(d), strconv.Itoa(d.Replays), d.ID.String()}
	})
}

// webhookName is the webhook's id where it never had a name.
func webhookName(d admin.Letter) string { return cmp.Or(d.Webhook, d.WebhookID) }

// deadLetterUser names the user, or the one that was not found.
func deadLetterUser(d admin.Letter) string {
	switch {
	case d.UserKey != "":
		return d.UserKey + " (missing)"
	case d.User != nil:
		return d.User.Name()
	}
	return ""
}

type dlqGroupsCmd struct {
	dlqFilterFlags
	Limit *int `placeholder:"N" help:"Show this many groups at most. Default: all."`
}

func (c *dlqGroupsCmd) Run(a *app) error {
	limit := limitFlag{math.MaxInt}
	if c.Limit != nil {
		limit.Limit = *c.Limit
	}
	if err := limit.checkLimit(); err != nil {
		return err
	}
	f, letters, err := c.open(a)
	if err != nil {
		return err
	}
	groups, err := letters.Groups(a.ctx, f)
	if err != nil {
		return err
	}
	if groups, err = cut(a, limit, groups); err != nil {
		return err
	}
	community := func(g admin.Group) string { return g.Community }
	err = printInCommunities(a, groups, community, []string{"count", "webhook", "reason", "path", "first", "last", "example"}, func(g admin.Group) []string {
		return []string{
			strconv.Itoa(g.Count), cmp.Or(g.Webhook, g.WebhookID), string(g.Reason), admin.OrEmpty(g.Path),
			localTime(g.FirstAt), localTime(g.LastAt), g.Example.String(),
		}
	})
	if err == nil && len(groups) > 0 && !a.json() {
		narrowed := groupArgs(groups[0], f)
		fmt.Fprintf(a.Stdout, "\nTo see the largest group:           coinhook dlq list %s\n", narrowed)
		fmt.Fprintf(a.Stdout, "To run it again once the cause is corrected: coinhook dlq replay %s\n", narrowed)
	}
	return err
}

// groupArgs are the flags that narrow to a group, within what was narrowed
// already. The webhook is named by its id: it may be deleted, or renamed.
func groupArgs(g admin.Group, f deadletter.Filter) string {
	var args []string
	add := func(flag, value string) { args = append(args, flag, quoteArg(value)) }
	if webhook.IsID(g.WebhookID) {
		add("--webhook", g.WebhookID)
	}
	add("--reason", string(g.Reason))
	add("--path", admin.OrEmpty(g.Path))
	if f.UserID != [16]byte{} {
		add("--user", f.UserID.String())
	} else if f.WaitingFor != nil {
		add("--user", f.WaitingFor.Keys[0])
	}
	if !f.Since.IsZero() {
		add("--since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		add("--until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	if f.Text != "" {
		add("--text", f.Text)
	}
	if f.Community != "" {
		add("--community", f.Community)
	}
	return strings.Join(args, " ")
}
