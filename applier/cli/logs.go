package cli

import "github.com/coinhook/coinhook/applier/admin/history"

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
	if a.json() {
		return a.printJSON(list)
	}
	rows := make([][]string, len(list))
	for i, l := range list {
		rows[i] = []string{localTime(l.At), l.User.Name(), l.Currency, l.Operator, l.Amount, l.Balance, l.Action, l.DeliveryID.String()}
	}
	a.printTable([]string{"at", "user", "currency", "operator", "amount", "balance", "action", "delivery"}, rows)
	return nil
}
