package history

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Log is a gamification log in the form that programs read.
type Log struct {
	User       admin.User  `json:"user"`
	Currency   string      `json:"currency"`
	Operator   string      `json:"operator"`
	Amount     string      `json:"amount"`
	Balance    string      `json:"balance"`
	Action     string      `json:"action"`
	DeliveryID delivery.ID `json:"delivery_id"`
	At         time.Time   `json:"at"`
	// Entry counts all logs, in the order in which they were written. The next
	// page is what is before the last one's.
	Entry     int64  `json:"-"`
	Community string `json:"-"`
}

// LogFilter narrows a list of logs; zero values do not.
type LogFilter = postgres.LogFilter

// Logs reads gamification logs, for which the database is enough.
type Logs struct{ store *postgres.Store }

// NewLogs returns the logs in a database.
func NewLogs(store *postgres.Store) *Logs { return &Logs{store: store} }

// List returns logs, newest first.
func (l *Logs) List(ctx context.Context, f LogFilter) ([]Log, error) {
	rows, err := l.store.ListLogs(ctx, f)
	if err != nil {
		return nil, err
	}
	list := make([]Log, len(rows))
	for i, r := range rows {
		currency := applier.Currency{Code: r.Currency, Scale: r.Scale}
		list[i] = Log{
			User:     r.User,
			Currency: r.Currency, Operator: string(r.Operator),
			Amount: currency.Format(r.Amount), Balance: currency.Format(r.Balance),
			Action: r.Action, DeliveryID: r.DeliveryID, At: r.At.UTC(), Entry: r.Entry, Community: r.Community,
		}
	}
	return list, nil
}
