package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Lead is the right to look for users that come later. One applier at a time has
// it, for as long as its connection lasts.
type Lead struct{ conn *sqlx.Conn }

// lateUsersLock is taken by whoever has the lead.
const lateUsersLock = 0x6c61746575736572 // "lateuser"

// A database that still waits for an applier whose machine is gone gives the
// lead to another after half a minute instead of two hours.
const leadQuery = `
SELECT pg_try_advisory_lock($1), set_config('tcp_keepalives_idle', '10', false),
    set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '4', false)`

// LeadLateUsers returns nil while another applier has the lead.
func (s *Store) LeadLateUsers(ctx context.Context) (*Lead, error) {
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the lead: %w", err)
	}
	lead := &Lead{conn: conn}
	var ok bool
	var ignored [3]string
	if err := conn.QueryRowContext(ctx, leadQuery, int64(lateUsersLock)).Scan(&ok, &ignored[0], &ignored[1], &ignored[2]); err != nil {
		lead.Close() // the lock may have been taken all the same
		return nil, fmt.Errorf("take the lead: %w", err)
	}
	if !ok {
		return nil, conn.Close()
	}
	return lead, nil
}

// Close gives the lead up, by ending the connection: one that went back among the
// others would keep the lock.
func (l *Lead) Close() {
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // the error is the one made here
}
