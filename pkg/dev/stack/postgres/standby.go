package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// CopyFrom replaces the folder's cluster by a copy of the server at addr, which
// has the same password. With standby the copy follows that server, under that
// name; else it is a backup that runs on its own.
func (c *Cluster) CopyFrom(ctx context.Context, addr, standby string) error {
	if err := c.Remove(); err != nil {
		return err
	}
	if err := c.copy(ctx, addr, c.Data(), standby); err != nil {
		return err
	}
	return c.unsynchronised()
}

// Backup copies the server at addr into dir, for Restore.
func (c *Cluster) Backup(ctx context.Context, addr, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := c.account.own(filepath.Dir(dir)); err != nil {
		return err
	}
	return c.copy(ctx, addr, dir, "")
}

// Restore replaces the folder's cluster by a backup, which is used up.
func (c *Cluster) Restore(dir string) error {
	if err := c.Remove(); err != nil {
		return err
	}
	// The two may be on different file systems.
	if err := process.Run(context.Background(), process.Spec{
		Name: "cp", Path: "/bin/cp", Args: []string{"-a", dir, c.Data()}, Env: c.env(), Dir: "/",
	}); err != nil {
		return fmt.Errorf("restore %s: %w", dir, err)
	}
	return c.unsynchronised()
}

// Remove removes the folder's cluster. No server may run in it.
func (c *Cluster) Remove() error {
	if err := os.RemoveAll(c.Data()); err != nil {
		return fmt.Errorf("remove PostgreSQL's data: %w", err)
	}
	return nil
}

func (c *Cluster) copy(ctx context.Context, addr, dir, standby string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("the address of the server to copy: %w", err)
	}
	log := filepath.Join(c.dir, "basebackup.log")
	os.Remove(log) // there is none the first time
	spec := process.Spec{
		Name: "pg_basebackup", Path: c.bin.tool("pg_basebackup"), Dir: c.dir,
		Env: append(c.env(), "PGPASSWORD="+c.password), LogFile: log, Credential: c.account.credential,
		Args: []string{"--pgdata=" + dir, "--checkpoint=fast", "--wal-method=stream", "--no-sync", "--dbname=" +
			fmt.Sprintf("host=%s port=%s user=%s application_name=%s", host, port, User, standby)},
	}
	if standby != "" {
		spec.Args = append(spec.Args, "--write-recovery-conf")
	}
	if err := process.Run(ctx, spec); err != nil {
		return fmt.Errorf("copy the PostgreSQL at %s: %w\n%s", addr, err, process.Tail(log, 0, 10))
	}
	return nil
}

// unsynchronised takes away from a copy that its commits wait for a standby: it
// has none.
func (c *Cluster) unsynchronised() error {
	conf, err := os.OpenFile(filepath.Join(c.Data(), "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer conf.Close() // the write below shows errors
	_, err = conf.WriteString("synchronous_standby_names = ''\n")
	return err
}

// Exec runs statements on the server at addr.
func (c *Cluster) Exec(ctx context.Context, addr string, statements ...string) error {
	db, err := c.open(addr)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Query reads one row from the server at addr.
func (c *Cluster) Query(ctx context.Context, addr, query string, into ...any) error {
	db, err := c.open(addr)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, query).Scan(into...); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}
