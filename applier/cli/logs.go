package cli

import (
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/history"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type logsCmd struct {
	List logsListCmd `cmd:"" help:"List gamification logs, newest first."`
}

type logsListCmd struct {
	Currency string `placeholder:"C" help:"Only of this currency."`
	listFlags
}

// logJSON is a gamification log as programs read it.
type logJSON struct {
	User       history.User `json:"user"`
	Currency   string       `json:"currency"`
	Operator   string       `json:"operator"`
	Amount     string       `json:"amount"`
	Balance    string       `json:"balance"`
	Action     string       `json:"action"`
	DeliveryID delivery.ID  `json:"delivery_id"`
	At         time.Time    `json:"at"`
}

func (c *logsListCmd) Run(a *app) error {
	r, err := c.resolve(a)
	if err != nil {
		return err
	}
	store, err := a.database()
	if err != nil {
		return err
	}
	logs, err := store.ListLogs(a.ctx, postgres.LogFilter{
		Community: a.flags.Community, UserID: r.userID, Currency: c.Currency, WebhookID: r.webhookID, Since: r.since, Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	list := make([]logJSON, len(logs))
	for i, l := range logs {
		currency := applier.Currency{Code: l.Currency, Scale: l.Scale}
		list[i] = logJSON{
			User:     history.User{ID: l.User.ID, Email: l.User.Email, Username: l.User.Username},
			Currency: l.Currency, Operator: string(l.Operator),
			Amount: currency.Format(l.Amount), Balance: currency.Format(l.Balance),
			Action: l.Action, DeliveryID: l.DeliveryID, At: l.At.UTC(),
		}
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
