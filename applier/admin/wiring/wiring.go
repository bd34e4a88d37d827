// Package wiring opens the database of an installation and puts the admin
// services on it. The command, the console and the read API reach PostgreSQL in
// no other way.
package wiring

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/admin/revert"
	"github.com/coinhook/coinhook/applier/admin/setup"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
)

// Options tune the connections; the zero value is usable.
type Options = postgres.Options

// Database has the services on one database.
type Database struct{ store *postgres.Store }

// Open returns the database at a URL. It connects when it is first needed.
func Open(url string, o Options) (*Database, error) {
	store, err := postgres.Open(url, o)
	if err != nil {
		return nil, err
	}
	return &Database{store: store}, nil
}

// SameDatabase reports whether two URLs name the same database, by whichever roles.
func SameDatabase(a, b string) bool { return postgres.SameDatabase(a, b) }

// Close ends the connections.
func (d *Database) Close() { d.store.Close() } // all was read and written

// Fits refuses tables that this program cannot work with. A database that does not
// answer is left to the statements, which say so.
func (d *Database) Fits(ctx context.Context) error {
	if state, err := d.store.SchemaState(ctx); err == nil {
		return state.Err()
	}
	return nil
}

// Ready returns an error while the database does not answer, or its tables do not fit.
func (d *Database) Ready(ctx context.Context) error { return d.store.Ready(ctx) }

// Community reads the currencies and custom fields of a community.
func (d *Database) Community(ctx context.Context, name string) (*applier.Community, error) {
	return d.store.Reread(ctx, name)
}

func utcNow() time.Time { return time.Now().UTC() }

// Accounts are those of the console.
func (d *Database) Accounts() *access.Accounts { return access.NewAccounts(d.store, utcNow) }

// Tokens are those of the read API.
func (d *Database) Tokens() *access.Tokens { return access.NewTokens(d.store, utcNow) }

// Trail is the audit trail.
func (d *Database) Trail() *access.Trail { return access.NewTrail(d.store, utcNow) }

// Communities has the currencies and custom fields.
func (d *Database) Communities() *communities.Service { return communities.New(d.store) }

// Users has the users of all communities.
func (d *Database) Users() *users.Service { return users.New(d.store) }

// DeadLetters lists, discards, exports, imports and watches dead letters.
func (d *Database) DeadLetters() *deadletter.Service { return deadletter.New(d.store) }

// Reverter takes deliveries back.
func (d *Database) Reverter() *revert.Reverter { return revert.New(d.store) }

// Logs are the gamification logs.
func (d *Database) Logs() *history.Logs { return history.NewLogs(d.store) }

// Preview tries a definition with one payload.
func (d *Database) Preview() *trial.Preview { return trial.NewPreview(d.store) }

// History has the deliveries, pending ones too. A delivery that is pending for longer
// than the limit is overdue.
func (d *Database) History(stream *broker.Stream, definitions history.Definitions, limit time.Duration) *history.History {
	return history.New(d.store, stream, definitions, limit)
}

// Replayer runs dead letters again. It decides as an applier with these parts does.
func (d *Database) Replayer(definitions applier.Definitions, evaluate applier.Evaluate, publisher replay.Publisher) *replay.Replayer {
	return replay.New(d.store, definitions, evaluate, publisher)
}

// Backtest tries a definition with the last deliveries. It decides as an applier with
// these parts does.
func (d *Database) Backtest(stream trial.Stream, definitions applier.Definitions, evaluate applier.Evaluate) *trial.Backtest {
	return trial.NewBacktest(d.store, stream, definitions, evaluate)
}

// Auditor compares the stream and the ledger.
func (d *Database) Auditor(stream audit.Stream) *audit.Auditor { return audit.New(d.store, stream) }

// Setup makes the streams, buckets and tables of an installation.
func (d *Database) Setup() *setup.Setup { return setup.New(d.store) }
