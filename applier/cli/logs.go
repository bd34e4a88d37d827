package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type logsCmd struct {
	List logsListCmd `cmd:"" help:"List gamification logs, newest first."`
}

type logsListCmd struct {
	Currency string `placeholder:"C" help:"Only of this currency."`
	listFlags
}

func (c *logsListCmd) Run(a *app) error {
	r, err := c.resolve(a)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	list, err := db.Logs().List(a.ctx, history.LogFilter{
		Community: a.flags.Community, UserID: r.userID, Currency: c.Currency, WebhookID: r.webhookID, Since: r.since, Until: r.until, Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	if len(list) == 0 && c.Currency != "" {
		a.sayUnknownCurrency(c.Currency)
	}
	if n := len(list); n == c.Limit {
		a.say("There may be more: add --until %s, or a larger --limit.", list[n-1].At.UTC().Format(time.RFC3339Nano))
	}
	if a.json() {
		return a.printJSON(list)
	}
	printInCommunities(a, list, func(l admin.Log) string { return l.Community }, []string{"at", "user", "currency", "operator", "amount", "balance", "action", "delivery"}, func(l admin.Log) []string {
		return []string{localTime(l.At), l.User.Name(), l.Currency, l.Operator, l.Amount, l.Balance, l.Action, l.DeliveryID.String()}
	})
	return nil
}

// sayUnknownCurrency explains an empty list by a currency that does not exist.
func (a *app) sayUnknownCurrency(code string) {
	db, err := a.database()
	if err != nil {
		return
	}
	communities := []string{a.flags.Community}
	if a.flags.Community == "" {
		if communities, err = a.knownCommunities(""); err != nil {
			return
		}
	}
	var known []string
	for _, community := range communities {
		currencies, err := db.Communities().Currencies(a.ctx, community)
		if err != nil {
			return
		}
		for _, c := range currencies {
			known = append(known, c.Code)
		}
	}
	a.sayUnknown("currency", code, known, "currencies")
}

// sayUnknown says of a name that none of its kind has which ones are like it. Words of
// the command line list them.
func (a *app) sayUnknown(kind, name string, known []string, words string) {
	slices.Sort(known)
	known = slices.Compact(known)
	if slices.Contains(known, name) {
		return
	}
	text := fmt.Sprintf("There is no %s %q", kind, printable(name))
	if like := quoted(webhook.Alike(name, known)); like != "" {
		text += ": did you mean " + like + "?"
	} else {
		text += "."
	}
	a.say("%s `coinhook %s list` lists them.", text, words)
}
