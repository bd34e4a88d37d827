package pg

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// connector opens connections. It begins with the server that took the last one,
// so that one which is down costs its timeout once and not for each connection.
type connector struct {
	servers []server
	start   atomic.Int64
}

type server struct {
	*pq.Connector
	address string
}

// newConnector leaves the choice among servers to the driver where the URL asks
// for another than the first that takes writes.
func newConnector(cfg pq.Config, d dialer) (*connector, error) {
	each := []pq.Config{cfg}
	if cfg.LoadBalanceHosts != pq.LoadBalanceHostsRandom && cfg.TargetSessionAttrs != pq.TargetSessionAttrsPreferStandby {
		each = EachHost(cfg)
	}
	c := &connector{}
	for _, one := range each {
		opened, err := pq.NewConnectorConfig(one)
		if err != nil {
			return nil, err
		}
		opened.Dialer(d)
		c.servers = append(c.servers, server{opened, net.JoinHostPort(one.Host, strconv.Itoa(int(one.Port)))})
	}
	return c, nil
}

// Driver is part of a driver.Connector.
func (c *connector) Driver() driver.Driver { return c.servers[0].Driver() }

// Connect returns a connection to the first server that has what the URL asks for.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	var failed []error
	start := c.start.Load()
	for i := range c.servers {
		n := (int(start) + i) % len(c.servers)
		opened, err := c.servers[n].Connect(ctx)
		if err == nil {
			c.start.Store(int64(n))
			return &conn{driverConn: opened.(driverConn)}, nil
		}
		failed = append(failed, c.explain(n, err))
		if isOver(ctx) {
			// It used up the time of all. The next connection begins with the next one.
			c.start.Store(int64(n + 1))
			break
		}
	}
	if len(failed) == 1 {
		return nil, failed[0]
	}
	return nil, fmt.Errorf("no server takes the connection: %w", oneLine{errors.Join(failed...)})
}

// isOver reports whether there is no time left to try another server.
func isOver(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(deadline) < 10*time.Millisecond
}

// explain names the server where there are several, and says what to do about one
// that takes no writes, or refuses the connection.
func (c *connector) explain(n int, err error) error {
	switch err.Error() { // the driver has no type for them
	case "session is read-only", "server is in hot standby mode":
		return fmt.Errorf("%s takes no writes (%w): DATABASE_URL names the primary, or all servers: host1:5432,host2:5432",
			c.servers[n].address, err)
	}
	if len(c.servers) > 1 {
		err = fmt.Errorf("%s: %w", c.servers[n].address, err)
	}
	if advice := adviceFor(err); advice != "" {
		return fmt.Errorf("%w: %s", err, advice)
	}
	return err
}

// adviceFor says what to do about a server that is there and takes no connection.
func adviceFor(err error) string {
	if errors.Is(err, pq.ErrSSLNotSupported) {
		return "add ?sslmode=disable to the database's URL, if its network is trusted"
	}
	pqErr := pq.As(err)
	if pqErr == nil {
		return ""
	}
	switch pqErr.Code {
	case "28P01": // a wrong password, or a role that is not there
		return "check the user and password in the database's URL"
	case "28000": // no line of pg_hba.conf fits, or the role may not log in
		return "check the user in the database's URL, and pg_hba.conf of the server"
	case "3D000":
		return "create the database, or correct its name in the URL"
	case "53300":
		return "raise max_connections, or run fewer programs"
	}
	return ""
}

// oneLine is a joined error without line breaks.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }

func (e oneLine) Unwrap() error { return e.error }
