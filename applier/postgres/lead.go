package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Lead is the right to do one of the jobs that one applier at a time does. It has
// it for as long as its connection lasts.
type Lead struct{ conn *sqlx.Conn }

// Job is what an applier may lead, by the advisory lock that says so.
type Job int64

// The jobs: to run deliveries again whose users appear late, to audit the stream
// and the ledger all the time, to remove what is old.
const (
	LateUsers   Job = 0x6c61746575736572 // "lateuser"
	AuditStream Job = 0x6175646974696e67 // "auditing"
	AuditLedger Job = 0x6c65646765727321 // "ledgers!"
	Retention   Job = 0x726574656e74696f // "retentio"
)

// A database that still waits for an applier whose machine is gone gives the
// lead to another after half a minute instead of two hours.
const leadQuery = `
SELECT pg_try_advisory_lock($1), set_config('tcp_keepalives_idle', '10', false),
    set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '4', false)`

// Lead returns nil while another applier has the lead. It refuses where this
// program does not fit the tables.
func (s *Store) Lead(ctx context.Context, job Job) (*Lead, error) {
	if err := s.schema.open(ctx, s.CheckSchema); err != nil {
		return nil, fmt.Errorf("take the lead: %w", err)
	}
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the lead: %w", err)
	}
	lead := &Lead{conn: conn}
	var ok bool
	var ignored [3]string
	if err := conn.QueryRowContext(ctx, leadQuery, int64(job)).Scan(&ok, &ignored[0], &ignored[1], &ignored[2]); err != nil {
		lead.Close() // the lock may have been taken all the same
		return nil, fmt.Errorf("take the lead: %w", err)
	}
	if !ok {
		return nil, conn.Close()
	}
	return lead, nil
}

// Check returns an error once the connection is gone, and with it the lead.
func (l *Lead) Check(ctx context.Context) error {
	if _, err := l.conn.ExecContext(ctx, "SELECT 1"); err != nil {
		return fmt.Errorf("keep the lead: %w", err)
	}
	return nil
}

// Close gives the lead up, by ending the connection: one that went back among the
// others would keep the lock.
func (l *Lead) Close() {
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // the error is the one made here
}
