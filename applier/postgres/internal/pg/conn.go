package pg

import (
	"context"
	"database/sql/driver"
	"net"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// driverConn is what a connection of the driver can do.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// conn is a connection that leaves the pool after an error that every later use would
// meet. The statement itself is never run again: its caller gets the error, and only the
// next use takes another connection.
type conn struct {
	driverConn
	spoiled bool
}

// spoiledBy are the errors of a server that takes no writes on this connection, and
// of a server that stops. 0A000 is that of a standby that is asked to write, and of
// a prepared statement whose tables have changed.
var spoiledBy = []pqerror.Code{"25006", "0A000", "57P01", "57P02", "57P03"}

func (c *conn) saw(err error) error {
	if pq.As(err, spoiledBy...) != nil {
		c.spoiled = true
	}
	return err
}

// BeginTx begins without the driver's watch on ctx, which lasts until the end of COMMIT.
// If PostgreSQL is asked to cancel a COMMIT that waits for a standby, it makes the
// transaction visible at once, and a failover loses it. Statements have their own watch,
// and database/sql rolls back a transaction if ctx is done.
//
// The driver would begin as READ WRITE and so override default_transaction_read_only,
// which an operator sets to stop all writes.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts == (driver.TxOptions{}) {
		tx, err := c.driverConn.Begin() // a plain BEGIN
		return tx, c.saw(err)
	}
	tx, err := c.driverConn.BeginTx(context.WithoutCancel(ctx), opts)
	return tx, c.saw(err)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.driverConn.ExecContext(ctx, query, args)
	return result, c.saw(err)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.driverConn.QueryContext(ctx, query, args)
	return rows, c.saw(err)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	prepared, err := c.driverConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.saw(err)
	}
	return &stmt{driverStmt: prepared.(driverStmt), conn: c}, nil
}

// ResetSession is asked before the connection is used again.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.spoiled {
		return driver.ErrBadConn
	}
	return c.driverConn.ResetSession(ctx)
}

// IsValid is asked before the connection goes back to the pool.
func (c *conn) IsValid() bool { return !c.spoiled && c.driverConn.IsValid() }

// driverStmt is what a prepared statement of the driver can do.
type driverStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type stmt struct {
	driverStmt
	conn *conn
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	result, err := s.driverStmt.ExecContext(ctx, args)
	return result, s.conn.saw(err)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.driverStmt.QueryContext(ctx, args)
	return rows, s.conn.saw(err)
}

// dialer makes connections whose reads fail if the server falls silent. Contexts do not
// help: the driver asks the server to cancel, and then waits for its answer.
type dialer struct{ answerWithin time.Duration }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialed, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &impatientConn{Conn: dialed, within: d.answerWithin}
	c.opensUntil, _ = ctx.Deadline()
	return c, nil
}

// impatientConn is used by one goroutine at a time.
type impatientConn struct {
	net.Conn
	within time.Duration
	// opensUntil bounds the time until the server has let the client in, which the
	// driver does not end with its context. It is zero afterwards.
	opensUntil time.Time
}

// SetDeadline is called by the driver with the end of connect_timeout, and with
// zero once the server has let the client in.
func (c *impatientConn) SetDeadline(t time.Time) error {
	if t.IsZero() || c.opensUntil.IsZero() || t.Before(c.opensUntil) {
		c.opensUntil = t
	}
	return c.Conn.SetDeadline(c.opensUntil)
}

func (c *impatientConn) Read(p []byte) (int, error) {
	if c.opensUntil.IsZero() {
		if err := c.SetReadDeadline(time.Now().Add(c.within)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}
