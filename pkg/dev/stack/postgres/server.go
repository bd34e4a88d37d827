package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/pkg/dev/stack/port"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// startWithin is the time a server gets to answer; after a crash it recovers
// first.
const startWithin = 60 * time.Second

// Server is a running private PostgreSQL that nobody supervises.
type Server struct {
	cluster *Cluster
	addr    string
	proc    *process.Process
	// throwAway says that the folder goes with the server.
	throwAway bool
}

// Start prepares a cluster and starts its server. It returns when the server
// answers. The server ends when this process does, however that happens.
func Start(ctx context.Context, opts Options) (*Server, error) {
	throwAway := opts.Dir == ""
	if throwAway {
		dir, err := os.MkdirTemp("", "coinhook-postgres-")
		if err != nil {
			return nil, fmt.Errorf("a throw-away folder for PostgreSQL: %w", err)
		}
		opts.Dir = dir
	}
	cluster, err := Prepare(ctx, opts)
	if err == nil {
		var s *Server
		if s, err = cluster.startAnywhere(ctx); err == nil {
			s.throwAway = throwAway
			return s, nil
		}
	}
	if throwAway {
		os.RemoveAll(opts.Dir) // the first error tells more
		if cluster != nil {
			os.RemoveAll(cluster.dir) // the same
		}
	}
	return nil, err
}

// startAnywhere starts the server at the wanted address. Between the choice of
// a free port and its use somebody may take it: then it takes another.
func (c *Cluster) startAnywhere(ctx context.Context) (*Server, error) {
	addr := cmp.Or(c.opts.Addr, "127.0.0.1:0")
	for attempt := 1; ; attempt++ {
		resolved, err := port.Resolve(addr)
		if err != nil {
			return nil, err
		}
		s, err := c.start(ctx, resolved)
		if err == nil || attempt == 3 || resolved == addr || ctx.Err() != nil {
			return s, err
		}
	}
}

func (c *Cluster) start(ctx context.Context, addr string) (*Server, error) {
	spec, err := c.Command(addr)
	if err != nil {
		return nil, err
	}
	logged := process.Size(c.LogFile())
	proc, err := process.Start(spec)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	go func() {
		select {
		case <-proc.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := process.Await(ctx, func(ctx context.Context) error { return c.Ping(ctx, addr) }); err != nil {
		proc.Kill()
		return nil, fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, process.Tail(c.LogFile(), logged, 10))
	}
	return &Server{cluster: c, addr: addr, proc: proc}, nil
}

// URL returns the connection string of a database.
func (s *Server) URL(database string) string { return s.cluster.URL(s.addr, database) }

// Addr is where the server listens.
func (s *Server) Addr() string { return s.addr }

// PID is the process id of the server.
func (s *Server) PID() int { return s.proc.PID() }

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.proc.Done() }

// Stop shuts the server down, and kills it when ctx ends first.
func (s *Server) Stop(ctx context.Context) error {
	var err error
	if s.proc.Stop(ctx) {
		err = errors.New("PostgreSQL did not stop in time and was killed")
	}
	if s.throwAway {
		err = errors.Join(err, os.RemoveAll(s.cluster.dir))
	}
	return err
}

// Dir is the folder in use.
func (s *Server) Dir() string { return s.cluster.dir }

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.proc.Kill() }

// Ping reports whether the server at addr takes connections.
func (c *Cluster) Ping(ctx context.Context, addr string) error {
	db, err := c.open(addr)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// EnsureDatabase creates a database unless it is there.
func (c *Cluster) EnsureDatabase(ctx context.Context, addr, name string) error {
	db, err := c.open(addr)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name))
	if pqErr, ok := errors.AsType[*pq.Error](err); ok && pqErr.Code.Name() == "duplicate_database" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

func (c *Cluster) open(addr string) (*sql.DB, error) {
	connector, err := pq.NewConnector(c.URL(addr, "postgres") + "&connect_timeout=2")
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
