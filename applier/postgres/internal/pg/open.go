// Package pg has the mechanics of PostgreSQL: connections, transactions, rows,
// arrays, conditions and classes of errors. It knows no table.
package pg

import (
	"database/sql"
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Options tune the connections; the zero value is usable.
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

// Open returns a database at once, even while it is down. An error means that the URL
// cannot work.
func Open(url string, opts Options) (*sqlx.DB, error) {
	cfg, err := ParseAddress(url)
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
	return db, nil
}

// connLifetime is how long a connection is used. After it, names and addresses
// that have changed count.
const connLifetime = 5 * time.Minute

// configure adds the settings of all our connections. Those of the URL take
// precedence.
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
