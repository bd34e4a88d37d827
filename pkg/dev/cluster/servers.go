package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// definePostgres makes the first server's cluster of data; the standby's is a
// copy of it.
func (c *Cluster) definePostgres(ctx context.Context) error {
	bin, err := postgres.Find()
	if err != nil {
		return err
	}
	names := []string{"pg-1", "pg-2"}
	if c.opts.Standby == None {
		names = names[:1]
	}
	c.primary = names[0]
	for i, name := range names {
		store, err := c.disk(name, c.opts.PostgresDisk)
		if err != nil {
			return err
		}
		opts := postgres.Options{
			Dir: filepath.Join(store, "postgres"), Binaries: bin, Durable: true, LogFile: c.LogFile(name),
			Networks: []string{c.net.cidr(), "127.0.0.0/8"}, Password: c.password, Network: c.net.path(name),
			Settings: []string{
				"max_wal_size=128MB", "min_wal_size=32MB", "wal_keep_size=48MB", "checkpoint_timeout=30s",
				"wal_receiver_timeout=5s", "wal_sender_timeout=5s", "wal_retrieve_retry_interval=500ms",
			},
		}
		if c.opts.Fast {
			opts.Settings = append(opts.Settings, "fsync=off")
		}
		make := postgres.Reserve
		if i == 0 {
			make = func(opts postgres.Options) (*postgres.Cluster, error) { return postgres.Prepare(ctx, opts) }
		}
		pg, err := make(opts)
		if err != nil {
			return err
		}
		spec, err := pg.Command(c.Addr(name))
		if err != nil {
			return err
		}
		spec.Name = name
		c.add(&Part{
			Name: name, Store: store, spec: spec, pg: pg,
			ready: func(ctx context.Context) error { return pg.Ping(ctx, c.Addr(name)) },
		})
	}
	return nil
}

func (c *Cluster) startPostgres(ctx context.Context) error {
	if err := c.StartPart(ctx, c.primary); err != nil {
		return err
	}
	pg, addr := c.primaryServer()
	if err := pg.EnsureDatabase(ctx, addr, database); err != nil {
		return err
	}
	if err := pg.EnsureLogins(ctx, addr,
		postgres.Login{Name: applierRole, Password: c.password, Group: "coinhook_applier"},
		postgres.Login{Name: commandRole, Password: c.password, Group: "coinhook_command"},
	); err != nil {
		return err
	}
	if c.opts.Standby == None {
		return nil
	}
	return c.Rebuild(ctx)
}

func (c *Cluster) postgres(name string) *postgres.Cluster { return c.part(name).pg }

// primaryServer is the primary, and where clients reach it.
func (c *Cluster) primaryServer() (pg *postgres.Cluster, addr string) {
	name := c.Primary()
	return c.postgres(name), c.Addr(name)
}

// Primary is the PostgreSQL server that takes writes, Standby the other one,
// empty when there is none.
func (c *Cluster) Primary() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.primary
}

// Standby is the PostgreSQL server that follows.
func (c *Cluster) Standby() string {
	for _, name := range c.named("pg-") {
		if name != c.Primary() {
			return name
		}
	}
	return ""
}

// Promote makes the standby the primary. The old primary is killed first, as
// fencing does: two primaries would both take commits.
func (c *Cluster) Promote(ctx context.Context) error {
	old, next := c.Primary(), c.Standby()
	if next == "" {
		return errors.New("there is no standby to promote")
	}
	if err := c.Kill(old); err != nil {
		return err
	}
	if err := c.postgres(next).Exec(ctx, c.Addr(next), "SELECT pg_promote(true, 30)"); err != nil {
		return fmt.Errorf("promote %s: %w", next, err)
	}
	c.mu.Lock()
	c.primary = next
	c.mu.Unlock()
	return nil
}

// Rebuild makes the other server a standby of the primary, by a copy, and has
// commits wait for it if the cluster's standby is synchronous.
func (c *Cluster) Rebuild(ctx context.Context) error {
	primary, standby := c.Primary(), c.Standby()
	if err := c.Kill(standby); err != nil {
		return err
	}
	if err := c.postgres(standby).CopyFrom(ctx, c.Addr(primary), standby); err != nil {
		return err
	}
	if err := c.StartPart(ctx, standby); err != nil {
		return err
	}
	if err := c.AwaitStandby(ctx); err != nil {
		return err
	}
	return c.Synchronous(ctx, c.opts.Standby == Sync)
}

// AwaitStandby waits until the standby follows the primary.
func (c *Cluster) AwaitStandby(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyAfter)
	defer cancel()
	primary, addr := c.primaryServer()
	return process.Await(ctx, func(ctx context.Context) error {
		var n int
		err := primary.Query(ctx, addr, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", &n)
		if err == nil && n == 0 {
			err = fmt.Errorf("%s does not follow %s", c.Standby(), c.Primary())
		}
		return err
	})
}

// Synchronous says whether commits wait for the standby.
func (c *Cluster) Synchronous(ctx context.Context, wait bool) error {
	names := ""
	if wait {
		names = "*"
	}
	primary, addr := c.primaryServer()
	return primary.Exec(ctx, addr,
		fmt.Sprintf("ALTER SYSTEM SET synchronous_standby_names = '%s'", names), "SELECT pg_reload_conf()")
}

// SwitchWAL has the primary begin another file of its log.
func (c *Cluster) SwitchWAL(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	primary, addr := c.primaryServer()
	return primary.Exec(ctx, addr,
		"SET synchronous_commit = off", "SELECT pg_logical_emit_message(false, 'faults', 'x')", "SELECT pg_switch_wal()")
}

// BackupPostgres copies the primary into a folder next to its data's file
// system. RestorePostgres puts that copy in the primary's place, which has to be
// down, and uses it up.
func (c *Cluster) BackupPostgres(ctx context.Context) error {
	primary, addr := c.primaryServer()
	return primary.Backup(ctx, addr, c.backupOf("pg"))
}

// RestorePostgres is the way back of BackupPostgres. It starts the primary.
func (c *Cluster) RestorePostgres(ctx context.Context) error {
	if err := c.postgres(c.Primary()).Restore(c.backupOf("pg")); err != nil {
		return err
	}
	return c.StartPart(ctx, c.Primary())
}

func (c *Cluster) backupOf(name string) string {
	return filepath.Join(c.opts.Dir, "backups", name)
}

// Wipe removes the data of a NATS server, which has to be down.
func (c *Cluster) Wipe(name string) error {
	return os.RemoveAll(c.inStore(name, "store"))
}

// BackupNATS copies the data of a NATS server that is down, RestoreNATS puts the
// copy in its place.
func (c *Cluster) BackupNATS(ctx context.Context, name string) error {
	if err := os.RemoveAll(c.backupOf(name)); err != nil {
		return err
	}
	return copyFolder(ctx, c.inStore(name, "store"), c.backupOf(name))
}

// RestoreNATS is the way back of BackupNATS.
func (c *Cluster) RestoreNATS(ctx context.Context, name string) error {
	if err := c.Wipe(name); err != nil {
		return err
	}
	return copyFolder(ctx, c.backupOf(name), c.inStore(name, "store"))
}

func copyFolder(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return process.Run(ctx, process.Spec{Name: "cp", Path: "/bin/cp", Args: []string{"-a", from, to}, Dir: "/"})
}

// Free is the end of Fill.
func (c *Cluster) Free(name string) error { return os.RemoveAll(c.inStore(name, "filler")) }

// inStore is a path in the folder of a server's data.
func (c *Cluster) inStore(name, path string) string { return filepath.Join(c.part(name).Store, path) }

// Fill writes a file into a server's data until there is no room for one byte more.
func (c *Cluster) Fill(name string) error {
	file, err := os.OpenFile(c.inStore(name, "filler"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer file.Close() // that the room is used up is what was wanted
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return nil
}
