package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// Lead is the right to do a job that one applier at a time does. It lasts as long
// as its connection.
type Lead struct {
	// mu lets one statement at a time use conn: Keep asks while a turn goes on.
	mu      sync.Mutex
	conn    *sqlx.Conn
	silence time.Duration
}

// Job is what an applier may lead, by the advisory lock that says so.
type Job int64

// The jobs: to run deliveries again whose users appear late, to audit the stream
// and the ledger all the time, to remove what is old, to count what is parked, to count deliveries by minute.
const (
	LateUsers    Job = 0x6c61746575736572 // "lateuser"
	AuditStream  Job = 0x6175646974696e67 // "auditing"
	AuditLedger  Job = 0x6c65646765727321 // "ledgers!"
	Retention    Job = 0x726574656e74696f // "retentio"
	CountParked  Job = 0x7061726b65642e23 // "parked.#"
	CountMinutes Job = 0x636f756e746d696e // "countmin"
	SettingUp    Job = 0x73657474696e6775 // "settingu"
)

// leadSilence is how long a leader may say nothing before the database ends its
// connection. The kernel of a frozen process still answers keepalives. It is
// longer than the pool keeps a connection.
const leadSilence = 6 * time.Minute

// The machine of the applier that leads may vanish. With these settings the database
// notices after half a minute instead of two hours, and another applier gets the lead.
const leadQuery = `
SELECT pg_try_advisory_lock($1), set_config('tcp_keepalives_idle', '10', false),
    set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '4', false),
    set_config('idle_session_timeout', $2, false)`

// Lead returns nil while another applier has the lead. It returns an error if
// the tables do not match this program.
func (s *Store) Lead(ctx context.Context, job Job) (*Lead, error) {
	if err := s.schema.open(ctx, s.CheckSchema); err != nil {
		return nil, fmt.Errorf("take the lead: %w", err)
	}
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the lead: %w", err)
	}
	lead := &Lead{conn: conn, silence: s.leadSilence}
	var ok bool
	var ignored [4]string
	if err := conn.QueryRowContext(ctx, leadQuery, int64(job), strconv.FormatInt(s.leadSilence.Milliseconds(), 10)).
		Scan(&ok, &ignored[0], &ignored[1], &ignored[2], &ignored[3]); err != nil {
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.conn.ExecContext(ctx, "SELECT 1"); err != nil {
		return fmt.Errorf("keep the lead: %w", err)
	}
	return nil
}

// Rest waits for d, and meanwhile says now and again that its holder is alive. It
// returns early when the lead is lost.
func (l *Lead) Rest(ctx context.Context, d time.Duration) {
	for {
		step := min(d, l.silence/5)
		select {
		case <-time.After(step):
		case <-ctx.Done():
			return
		}
		if d -= step; d <= 0 || l.Check(ctx) != nil {
			return
		}
	}
}

// Keep says now and again that its holder is alive, until done is closed. A pass
// uses other connections, and may take longer than a leader may be silent. It
// returns an error once the lead is lost.
func (l *Lead) Keep(ctx context.Context, done <-chan struct{}) error {
	tick := time.NewTicker(l.silence / 5)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := l.Check(ctx); err != nil {
				return err
			}
		case <-done:
			return nil
		}
	}
}

// Close gives the lead up, by ending the connection: one that went back among the
// others would keep the lock.
func (l *Lead) Close() {
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // the error is the one made here
}
