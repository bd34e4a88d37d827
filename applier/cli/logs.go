package cli

import (
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
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
		a.sayUnknown(db, "currency", c.Currency, "currencies", currencyCodes)
	}
	if n := len(list); n == c.Limit {
		a.say("There may be more: add --until %s, or a larger --limit.", list[n-1].At.UTC().Format(time.RFC3339Nano))
	}
	return printInCommunities(a, list, func(l admin.Log) string { return l.Community }, []string{"at", "user", "currency", "operator", "amount", "balance", "action", "delivery"}, func(l admin.Log) []string {
		return []string{localTime(l.At), l.User.Name(), l.Currency, l.Operator, l.Amount, l.Balance, l.Action, l.DeliveryID.String()}
	})
}
