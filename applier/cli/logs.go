package cli

import (
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
)

type logsCmd struct {
	List logsListCmd `cmd:"" help:"List gamification logs, newest first."`
}

type logsListCmd struct {
	Currency string `placeholder:"C" help:"Only of this currency."`
	Before   int64  `placeholder:"N" help:"Continue after this entry, the last of the previous list. A full list prints its number."`
	listFlags
}

func (c *logsListCmd) Run(a *app) error {
	if c.Before < 0 {
		return usagef("--before is the number of an entry, as a full list prints it, not %d", c.Before)
	}
	r, err := c.resolve(a)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	list, err := db.Logs().List(a.ctx, history.LogFilter{
		Community: a.flags.Community, UserID: r.userID, Currency: c.Currency, WebhookID: r.webhookID, Since: r.since, Until: r.until, Before: c.Before, Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	if len(list) == 0 && c.Currency != "" {
		a.sayUnknown(db, "currency", c.Currency, "currencies", currencyCodes)
	}
	if n := len(list); n == c.Limit {
		a.say("There may be more: add --before %d, or a larger --limit.", list[n-1].Entry)
	}
	return printInCommunities(a, list, func(l admin.Log) string { return l.Community }, []string{"at", "user", "currency", "operator", "amount", "balance", "action", "delivery"}, func(l admin.Log) []string {
		return []string{localTime(l.At), l.User.Name(), l.Currency, l.Operator, l.Amount, l.Balance, l.Action, l.DeliveryID.String()}
	})
}
