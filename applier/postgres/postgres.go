// Package postgres keeps the ledger in PostgreSQL. It is the only importer of
// sqlx and lib/pq.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/coinhook/coinhook/applier"
)

// Options tune a Store; the zero value is usable.
type Options struct {
	// Name is shown by the database's own tools.
	Name string
	// StatementTimeout is how long one statement may take, 20 s if zero.
	StatementTimeout time.Duration
	// Settling says that the store is there to settle. Its statements are planned
	// for that, and lists would suffer.
	Settling bool
	// MaxConns bounds the connections, 4 if zero.
	MaxConns int
}

// settlingPlans have every lookup go through an index. A prepared statement
// keeps the plan it got first: made while the tables are small, it would scan
// them from end to end, and go on doing so when they are large.
var settlingPlans = map[string]string{
	"plan_cache_mode":  "force_generic_plan",
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
}

// Store keeps users, balances, custom fields, logs, outcomes and dead letters.
type Store struct {
	db          *sqlx.DB
	settling    *settleStatements
	communities communityCache
	located     located
	epochs      epochs
	slices      auditSlices
	schema      schemaGate
	leadSilence time.Duration
}

var _ applier.Store = (*Store)(nil)

// Open returns a store at once, also while the database is away. An error means
// that the URL cannot work.
func Open(url string, opts Options) (*Store, error) {
	cfg, err := parseAddress(url)
	if err != nil {
		return nil, err
	}
	if err := configure(&cfg, &opts); err != nil {
		return nil, err
	}
	connector, err := newConnector(cfg, dialer{answerWithin: opts.StatementTimeout + 10*time.Second})
	if err != nil {
		return nil, errors.New("want a URL whose host, port and sslmode can be used")
	}
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.SetMaxOpenConns(opts.MaxConns)
	db.SetMaxIdleConns(opts.MaxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(connLifetime)
	s := &Store{db: db, leadSilence: leadSilence}
	s.settling = &settleStatements{db: db, writes: map[tables]*sqlx.Stmt{}, patience: patience{lasts: waitForLocks}}
	return s, nil
}

// connLifetime is how long a connection is used. After it, names and addresses
// that have changed count.
const connLifetime = 5 * time.Minute

// configure adds what every connection of ours has. What the URL says goes first.
func configure(cfg *pq.Config, opts *Options) error {
	if opts.StatementTimeout <= 0 {
		opts.StatementTimeout = 20 * time.Second
	}
	if opts.MaxConns <= 0 {
		opts.MaxConns = 4
	}
	if cfg.TargetSessionAttrs == "" {
		cfg.TargetSessionAttrs = pq.TargetSessionAttrsReadWrite
	}
	cfg.BinaryParameters = true // one round trip a statement, not two
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = opts.Name
	}
	runtime := map[string]string{
		// Compiling a plan takes longer than any statement of ours.
		"jit":               "off",
		"statement_timeout": strconv.FormatInt(opts.StatementTimeout.Milliseconds(), 10),
		"lock_timeout":      "5000",
		// An applier that was cut off must not keep its users locked.
		"idle_in_transaction_session_timeout": "10000",
		"client_connection_check_interval":    "5000",
		// A role or a database may have another default.
		"synchronous_commit": "on",
	}
	if opts.Settling {
		maps.Copy(runtime, settlingPlans)
	}
	for name, value := range cfg.Runtime { // what the URL says goes first
		runtime[name] = value
	}
	if !isDurable(runtime["synchronous_commit"]) {
		return errors.New("want synchronous_commit=on, remote_apply, remote_write or local: an outcome that is acked must not get lost")
	}
	cfg.Runtime = runtime
	return nil
}

// isDurable reports whether a COMMIT that was confirmed is on a disk. Without that
// the broker forgets deliveries whose outcomes PostgreSQL may still lose.
func isDurable(synchronousCommit string) bool {
	switch synchronousCommit {
	case "on", "remote_apply", "remote_write", "local":
		return true
	}
	return false
}

// Close closes all connections.
func (s *Store) Close() error { return s.db.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return fmt.Errorf("PostgreSQL does not answer: %w", err)
	}
	return nil
}

const readOnlyQuery = `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean`

// Ready reports whether the database takes writes, and its tables are such as
// this program can work with.
func (s *Store) Ready(ctx context.Context) error {
	var standby, readOnly bool
	if err := s.db.QueryRowContext(ctx, readOnlyQuery).Scan(&standby, &readOnly); err != nil {
		return fmt.Errorf("PostgreSQL does not answer: %w", err)
	}
	switch {
	case standby:
		return errors.New("PostgreSQL is a standby, which takes no writes: DATABASE_URL names the primary, or all servers")
	case readOnly:
		return errors.New("PostgreSQL takes no writes: default_transaction_read_only is on")
	}
	return s.CheckSchema(ctx)
}

// inTx runs f in a transaction. Every write goes through here: outside of an
// explicit transaction database/sql runs a statement again, unasked, when its
// connection dies, also after the server committed it (lib/pq issue 939).
//
// Nothing is written to tables that this program does not fit.
func (s *Store) inTx(ctx context.Context, f func(*sqlx.Tx) error) error {
	if err := s.schema.open(ctx, s.CheckSchema); err != nil {
		return err
	}
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // the first error is the one that counts
		return classify(err)
	}
	// An error of COMMIT leaves the outcome unknown. Whoever calls runs the whole
	// again: a SELECT would not see a transaction that is still committing, an
	// INSERT waits for it.
	if err := tx.Commit(); err != nil {
		return classify(fmt.Errorf("commit: %w", err))
	}
	return nil
}

// snapshot runs f in a transaction that sees the database as it is at one moment,
// and writes nothing.
func (s *Store) snapshot(ctx context.Context, f func(*sqlx.Tx) error) error {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // there is nothing to commit
	return f(tx)
}

// maxTries bounds how often inTxAgain begins.
const maxTries = 10

// inTxAgain is inTx that begins again after an error which is that of others who
// write at the same time.
func (s *Store) inTxAgain(ctx context.Context, f func(*sqlx.Tx) error) error {
	for try := 1; ; try++ {
		err := s.inTx(ctx, f)
		if err == nil || try == maxTries || ctx.Err() != nil || !passes(err) {
			return err
		}
	}
}

// classify marks the errors that the values are to blame for. Those of
// connection, resources, locks or a missing table are not among them: they pass,
// or somebody mends them.
func classify(err error) error {
	pqErr := pq.As(err)
	if pqErr == nil {
		return err
	}
	switch pqErr.Code.Class() {
	case pqerror.Class("21"), // cardinality violation
		pqerror.Class("22"), // data exception
		pqerror.Class("23"), // integrity constraint violation
		pqerror.Class("54"), // program limit exceeded
		pqerror.Class("P0"): // raised by a function
		return &applier.DataError{Err: err, State: string(pqErr.Code)}
	}
	return err
}
