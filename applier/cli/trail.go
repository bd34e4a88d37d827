package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// showsPayload is what commands record that may show a payload as it was sent.
const showsPayload = "show payload"

// records says what each command writes into the audit trail, "" for one that only
// looks. A test compares it with the commands there are.
var records = map[string]string{
	"setup": "set up",

	"webhooks apply": "apply webhook", "webhooks delete": "delete webhook", "webhooks undelete": "undelete webhook",
	"webhooks rotate-key": "rotate API key", "webhooks set-encryption": "set encryption", "webhooks set-secret": "set secret",
	"webhooks enable": "set state", "webhooks disable": "set state", "webhooks pause": "set state", "webhooks resume": "set state",
	"webhooks list": "", "webhooks show": "", "webhooks export": "", "webhooks try": "", "webhooks suggest": "", "webhooks backtest": "",
	"webhooks versions": "", "webhooks rejections": "", "webhooks presets": "", "webhooks schema": "", "encrypt": "", "sign": "",
	"secrets rotate": "rotate secrets",

	"users add": "add user", "users set": "change user", "users import": "import users", "users list": "", "users show": "", "users export": "export user", "users delete": "erase user", "users adjust": "adjust balance",
	"communities list": "",
	"currencies set":   "set currency", "currencies list": "",
	"fields set": "set custom field", "fields delete": "delete custom field", "fields list": "", "fields history": "",

	"deliveries revert": "revert deliveries", "deliveries list": "", "logs list": "",
	"dlq replay": "replay dead letters", "dlq discard": "discard dead letters", "dlq import": "import dead letters",
	"dlq list": "", "dlq groups": "", "dlq watch": "",

	"tokens add": "add token", "tokens revoke": "revoke token", "tokens list": "",
	"admins add": "add account", "admins set": "change account", "admins list": "",
	"audit look": "repair", "audit ack": "acknowledge findings",
	"help": "", "completion": "",
	"trail list": "", "console": "", // the pages record what they do

	// These show payloads as they were sent.
	"deliveries show": showsPayload, "dlq show": showsPayload, "webhooks catch": showsPayload, "dlq export": "export dead letters",
}

// mayChange refuses to change something through the broker while the audit trail
// cannot be written. Changes in the database fail by themselves. Setup makes the table.
func (a *app) mayChange() error {
	if what := records[a.command]; what == "" || what == showsPayload || a.command == "setup" {
		return nil
	}
	if _, err := a.trail(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, connectWithin)
	defer cancel()
	if err := a.trails.Ready(ctx); err != nil {
		return fmt.Errorf("nothing was done, because the audit trail cannot be written: %w", err)
	}
	return nil
}

// pathOf is a command's words, such as webhooks apply.
func pathOf(command *kong.Node) string {
	if command == nil || command.Type != kong.CommandNode {
		return ""
	}
	return strings.TrimSpace(pathOf(command.Parent) + " " + command.Name)
}

// record writes the audit trail. Call it in each command that changes something, after
// the change, and before a command prints what others do not see.
func (a *app) record(what, targetKind, targetID string, detail map[string]any) error {
	t, err := a.trail()
	if err != nil {
		return err
	}
	if err := t.Record(a.ctx, a.actor(), what, targetKind, targetID, detail); err != nil {
		return fmt.Errorf("%q was done, but the audit trail does not have it: %w", what, err)
	}
	return nil
}

// words are the command line without the servers' addresses, which may hold passwords.
func (a *app) words() string {
	var kept []string
	for i := 0; i < len(a.Args); i++ {
		name, _, hasValue := strings.Cut(a.Args[i], "=")
		if name == "--nats-url" || name == "--database-url" {
			if !hasValue {
				i++
			}
			continue
		}
		kept = append(kept, a.Args[i])
	}
	return strings.Join(kept, " ")
}

// trail has a connection of its own: the command's may be set up for long statements.
func (a *app) trail() (*access.Trail, error) {
	if a.trails == nil {
		db, err := a.openDefault(wiring.Options{Name: "coinhook trail", MaxConns: 1})
		if err != nil {
			return nil, err
		}
		a.trails = db
	}
	return a.trails.Trail(), nil
}

// actor is the person at the terminal, as they call themselves, and as the operating
// system knows them.
func (a *app) actor() admin.Actor {
	return admin.Actor{Via: admin.ViaCommand, Who: a.who(), OSUser: osUser()}
}

type trailCmd struct {
	List trailListCmd `cmd:"" help:"List the entries, newest first."`
}

type trailListCmd struct {
	By     string `name:"by" placeholder:"WHO" help:"Only by this account, person or token."`
	What   string `placeholder:"WHAT" help:"Only this action, such as \"replay dead letters\"."`
	Via    string `placeholder:"FACE" enum:",command,console,api" default:"" help:"Only through this interface: command, console or api."`
	Target string `placeholder:"ID" help:"Only about this webhook, delivery or user, by id."`
	Since  *ago   `placeholder:"D" help:"Only since then: 90m, 24h, 7d or a date."`
	Until  *ago   `placeholder:"T" help:"Only until then, as --since."`
	Before int64  `placeholder:"ID" help:"Only entries before this one."`
	limitFlag
}

// sayUnknown explains an empty list by what was probably mistyped.
func (c *trailListCmd) sayUnknown(a *app) {
	known := slices.Sorted(maps.Values(records))
	if c.What != "" && !slices.Contains(known, c.What) {
		if like := webhook.Alike(c.What, slices.Compact(known)); len(like) > 0 {
			a.say("The commands record nothing called %q: did you mean %s?", printable(c.What), quoted(like[:min(len(like), maxAlike)]))
		}
	}
	_, notAnID := delivery.ParseID(c.Target)
	if c.Target != "" && notAnID != nil && !webhook.IsID(c.Target) {
		a.say("A webhook, delivery or user is found by its id, and %q is not an id: `coinhook webhooks show` and `coinhook users show` print ids.", printable(c.Target))
	}
}

func (c *trailListCmd) Run(a *app) error {
	if c.Limit < 1 || c.Before < 0 {
		return usagef("--limit is 1 or more, and --before the id of an entry")
	}
	since, until, err := a.span(c.Since, c.Until)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	entries, err := db.Trail().List(a.ctx, access.TrailFilter{
		Who: c.By, What: c.What, Via: c.Via, Community: a.flags.Community, TargetID: c.Target,
		Since: since, Until: until, Before: c.Before, Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		c.sayUnknown(a)
	}
	return printList(a, entries, []string{"id", "at", "who", "from", "what", "to", "id", "detail"}, func(e admin.TrailEntry) []string {
		detail := each(e.Facts(), admin.Fact.String)
		from := e.Via
		for _, more := range []string{e.OSUser, e.Address} {
			if more != "" {
				from += " " + more
			}
		}
		return []string{strconv.FormatInt(e.ID, 10), localTime(e.At), e.Who, from, e.What, e.TargetKind, e.TargetID, strings.Join(detail, "; ")}
	})
}
