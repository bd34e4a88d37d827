package cli

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type dlqListCmd struct {
	dlqFilterFlags
	Limit int `placeholder:"N" default:"50" help:"How many at most."`
}

func (c *dlqListCmd) Run(a *app) error {
	if c.Limit < 1 {
		return usagef("--limit is 1 or more, not %d", c.Limit)
	}
	f, letters, err := c.open(a)
	if err != nil {
		return err
	}
	f.Limit = c.Limit + 1 // one more, to know whether that is all
	list := newDeadLetterList(a)
	shown, more := 0, false
	for d, err := range letters.All(a.ctx, f) {
		if err != nil {
			return err
		}
		if more = shown == c.Limit; more {
			break
		}
		shown++
		if err := list.add(d); err != nil {
			return err
		}
	}
	if err := list.close(); err != nil {
		return err
	}
	if more {
		a.say("There are more than these %d: see them with --limit N, or counted with `coinhook dlq groups`.", shown)
	}
	return nil
}

// deadLetterList is a list in the making: for people a table, which needs all rows
// to be aligned; for programs an array that is written as it goes.
type deadLetterList struct {
	a    *app
	json *jsonArray
	rows []admin.Letter
}

func newDeadLetterList(a *app) *deadLetterList {
	l := &deadLetterList{a: a}
	if a.json() {
		l.json = a.newJSONArray()
	}
	return l
}

func (l *deadLetterList) add(d admin.Letter) error {
	if l.json != nil {
		return l.json.add(d)
	}
	l.rows = append(l.rows, d)
	return nil
}

func (l *deadLetterList) close() error {
	if l.json != nil {
		return l.json.close()
	}
	community := func(d admin.Letter) string { return d.Community }
	printInCommunities(l.a, l.rows, community, []string{"received", "webhook", "reason", "path", "user", "replays", "id"}, func(d admin.Letter) []string {
		return []string{localTime(d.ReceivedAt), webhookName(d), d.Result(), admin.OrEmpty(d.Path), deadLetterUser(d), strconv.Itoa(d.Replays), d.ID.String()}
	})
	return nil
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
}

func (c *dlqGroupsCmd) Run(a *app) error {
	f, letters, err := c.open(a)
	if err != nil {
		return err
	}
	groups, err := letters.Groups(a.ctx, f)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(groups)
	}
	a.printGroups(groups)
	if len(groups) > 0 {
		narrowed := groupArgs(groups[0], f)
		fmt.Fprintf(a.Stdout, "\nTo see the largest group:           coinhook dlq list %s\n", narrowed)
		fmt.Fprintf(a.Stdout, "To run it again, once it is mended: coinhook dlq replay %s\n", narrowed)
	}
	return nil
}

func (a *app) printGroups(groups []admin.Group) {
	printInCommunities(a, groups, func(g admin.Group) string { return g.Community }, []string{"count", "webhook", "reason", "path", "first", "last", "example"}, func(g admin.Group) []string {
		return []string{
			strconv.Itoa(g.Count), cmp.Or(g.Webhook, g.WebhookID), string(g.Reason), admin.OrEmpty(g.Path),
			localTime(g.FirstAt), localTime(g.LastAt), g.Example.String(),
		}
	})
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
	path := ""
	if g.Path != nil {
		path = *g.Path
	}
	add("--path", path)
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
