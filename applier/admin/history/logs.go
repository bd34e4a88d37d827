package history

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
)

// LogFilter narrows a list of logs; zero values do not.
type LogFilter = postgres.LogFilter

// Logs reads gamification logs, for which the database is enough.
type Logs struct{ store *postgres.Store }

// NewLogs returns the logs in a database.
func NewLogs(store *postgres.Store) *Logs { return &Logs{store: store} }

// List returns logs, newest first.
func (l *Logs) List(ctx context.Context, f LogFilter) ([]admin.Log, error) {
	list, err := l.store.ListLogs(ctx, f)
	return append([]admin.Log{}, list...), err // programs read [] where there is none
}
