package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
)

type setupCmd struct {
	Replicas int           `default:"1" help:"Copies of each stream in a NATS cluster: 1, 3 or 5."`
	MaxBytes int64         `name:"max-bytes" help:"Size of the stream of deliveries. A full one refuses (503) and drops nothing. Default: no bound."`
	Wait     time.Duration `default:"30s" help:"How long to wait for NATS and PostgreSQL to answer."`
}

// Run waits for both servers: at a first start they may be slower than setup.
func (c *setupCmd) Run(a *app) error {
	switch c.Replicas {
	case 1, 3, 5:
	default:
		return usagef("--replicas is 1, 3 or 5, not %d", c.Replicas)
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Wait)
	defer cancel()
	store, err := a.open(postgres.Options{Name: "coinhook", StatementTimeout: time.Hour}) // a migration of a large table takes its time
	if err != nil {
		return err
	}
	var conn *broker.Conn
	for conn == nil {
		if conn, err = a.broker(); err != nil && ctx.Err() != nil {
			return err
		}
	}
	if err := retry(ctx, func() error {
		return conn.Setup(ctx, broker.Topology{Replicas: c.Replicas, MaxBytes: c.MaxBytes})
	}); err != nil {
		return err
	}
	if err := retry(ctx, func() error { return store.Ping(ctx) }); err != nil {
		return err
	}
	migrations, err := store.Migrate(a.ctx)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(map[string]any{"streams": "ready", "tables": "ready", "migrations_applied": migrations})
	}
	fmt.Fprintf(a.Stdout, "Streams, buckets and tables are ready (%d migrations applied).\n", migrations)
	return nil
}

// retry calls f until it succeeds or ctx is done.
func retry(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
