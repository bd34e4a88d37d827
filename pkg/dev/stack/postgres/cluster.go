package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// User is the superuser of the private cluster.
const User = "coinhook"

// Options say where and how the private PostgreSQL runs.
type Options struct {
	// Dir holds the cluster, its password and, unless LogFile is set, its log.
	// Start takes an empty Dir for a throw-away folder, removed by Stop.
	Dir string
	// Addr is 127.0.0.1 and a port; port 0, the default, picks a free one.
	Addr string
	// Durable makes the server keep what it committed whatever happens. Without
	// it the server is faster, and loses its last commits when it is killed and
	// perhaps everything when the machine is.
	Durable bool
	// Exclusive says that the caller holds a lock on Dir: a server that still
	// runs there is what is left of an earlier caller, and is stopped.
	Exclusive bool
	// LogFile takes the server's output; Dir/postgres.log when it is empty.
	LogFile string
	// Binaries are what Find returns when they are zero.
	Binaries Binaries
	// Settings are added to the server's own, each as NAME=VALUE.
	Settings []string
	// Networks are those whose clients and standbys are let in with the password,
	// such as 10.0.0.0/24. Those of 127.0.0.1 always are.
	Networks []string
	// Password is used instead of one that is made for Dir.
	Password string
	// Network is the path of the network namespace that the server runs in.
	Network string
	// Logf logs what the caller could not expect. It may be nil.
	Logf func(format string, args ...any)
}

// Cluster is a data folder that is ready to be served.
type Cluster struct {
	opts     Options
	bin      Binaries
	account  account
	dir      string
	password string
}

// Prepare makes the cluster in the folder, or takes the one that is there, and
// sees to it that no server is left running in it.
func Prepare(ctx context.Context, opts Options) (*Cluster, error) {
	c, err := Reserve(opts)
	if err != nil {
		return nil, err
	}
	if err := c.Initialise(ctx); err != nil {
		return nil, err
	}
	if err := c.AwaitEnd(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Reserve is Prepare without a cluster in the folder: Initialise makes one, and
// CopyFrom does.
func Reserve(opts Options) (*Cluster, error) {
	if opts.Logf == nil {
		opts.Logf = func(string, ...any) {}
	}
	c := &Cluster{opts: opts, bin: opts.Binaries}
	var err error
	if c.bin.Dir == "" {
		if c.bin, err = Find(); err != nil {
			return nil, err
		}
	}
	if c.account, err = findAccount(); err != nil {
		return nil, err
	}
	wanted, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL's folder: %w", err)
	}
	if c.dir, err = c.account.home(wanted); err != nil {
		return nil, err
	}
	if c.dir != wanted {
		opts.Logf("user %s cannot use %s: PostgreSQL's data is in %s", c.account.name, wanted, c.dir)
	}
	if err := c.readPassword(); err != nil {
		return nil, fmt.Errorf("PostgreSQL's password: %w", err)
	}
	return c, nil
}

// Dir is the folder in use: the one of the options, or its stand-in when the
// server's user cannot reach that.
func (c *Cluster) Dir() string { return c.dir }

// LogFile is where the server's output goes.
func (c *Cluster) LogFile() string {
	if c.opts.LogFile != "" {
		return c.opts.LogFile
	}
	return filepath.Join(c.dir, "postgres.log")
}

// URL returns the superuser's connection string of a database at addr.
func (c *Cluster) URL(addr, database string) string {
	return Login{Name: User, Password: c.password}.URL(addr, database)
}

// URL returns the connection string of a database at addr.
func (l Login) URL(addr, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(l.Name, l.Password), Host: addr,
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Data is the folder of the cluster. It is named by the major version, for another one cannot read it.
func (c *Cluster) Data() string { return filepath.Join(c.dir, strconv.Itoa(c.bin.Major)) }

func (c *Cluster) passwordFile() string { return filepath.Join(c.dir, "password") }

func (c *Cluster) readPassword() error {
	text, err := os.ReadFile(c.passwordFile())
	if err == nil && len(text) > 0 {
		c.password = strings.TrimSpace(string(text))
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c.password = cmp.Or(c.opts.Password, templatePassword(), rand.Text())
	if err := process.WriteFile(c.passwordFile(), []byte(c.password+"\n"), 0o600); err != nil {
		return err
	}
	if c.account.credential == nil {
		return nil
	}
	// initdb reads it as the account.
	return os.Chown(c.passwordFile(), int(c.account.credential.Uid), int(c.account.credential.Gid))
}

// Initialise makes the cluster beside its place and renames it, so that one
// that was interrupted is never taken for a whole one.
func (c *Cluster) Initialise(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(c.Data(), "PG_VERSION")); err == nil {
		return nil
	}
	if err := c.refuseOtherMajor(); err != nil {
		return err
	}
	half := c.Data() + ".half"
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("remove a cluster left half-made: %w", err)
	}
	copied, err := c.copyTemplate(ctx, half)
	if !copied && err == nil {
		err = c.initdb(ctx, half)
	}
	if err != nil {
		return err
	}
	if err := c.admit(half); err != nil {
		return fmt.Errorf("let networks in: %w", err)
	}
	if err := os.Rename(half, c.Data()); err != nil {
		return fmt.Errorf("put the new cluster in its place: %w", err)
	}
	return nil
}

// admit lets the clients and standbys of the networks in.
func (c *Cluster) admit(data string) error {
	hba, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, network := range c.opts.Networks {
		_, err = fmt.Fprintf(hba, "host all,replication all %s scram-sha-256\n", network)
	}
	return errors.Join(err, hba.Close())
}

// initdb makes a cluster. Not every system knows C.UTF-8; C is everywhere.
func (c *Cluster) initdb(ctx context.Context, data string) error {
	err := c.initdbWith(ctx, data, "C.UTF-8")
	if err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "locale") {
		err = c.initdbWith(ctx, data, "C")
	}
	return err
}

func (c *Cluster) initdbWith(ctx context.Context, data, locale string) error {
	log := filepath.Join(c.dir, "initdb.log")
	os.Remove(log) // there is none the first time
	spec := process.Spec{
		Name: "initdb", Path: c.bin.initdb(), Env: c.env(), Dir: c.dir,
		LogFile: log, Credential: c.account.credential,
		Args: []string{
			"--pgdata=" + data, "--username=" + User, "--pwfile=" + c.passwordFile(),
			"--auth=scram-sha-256", "--encoding=UTF8", "--locale=" + locale, "--data-checksums",
		},
	}
	if !c.opts.Durable {
		spec.Args = append(spec.Args, "--no-sync")
	}
	if err := process.Run(ctx, spec); err != nil {
		return fmt.Errorf("make a PostgreSQL cluster with %s: %w\n%s", c.bin.Dir, err, process.Tail(log, 0, 10))
	}
	return nil
}

// refuseOtherMajor keeps an upgrade of PostgreSQL from looking like a loss of
// all data.
func (c *Cluster) refuseOtherMajor() error {
	found, err := filepath.Glob(filepath.Join(c.dir, "*", "PG_VERSION"))
	if err != nil || len(found) == 0 {
		return err
	}
	data := filepath.Dir(found[0])
	if _, err := strconv.Atoi(filepath.Base(data)); err != nil {
		return nil
	}
	return fmt.Errorf("%s was made by PostgreSQL %s, and %s has version %d: set PG_BIN_DIR to the binaries of version %[2]s, "+
		"or move the folder away to start empty", data, filepath.Base(data), c.bin.Dir, c.bin.Major)
}

// env is the whole environment of the binaries: the caller's PG variables
// would change what they do.
func (c *Cluster) env() []string {
	return []string{"PATH=" + c.bin.Dir + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + c.dir}
}

// Command is how the server is started at addr, for a supervisor or for Start.
func (c *Cluster) Command(addr string) (process.Spec, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return process.Spec{}, fmt.Errorf("PostgreSQL's address: %w", err)
	}
	args := []string{"-D", c.Data()}
	for _, setting := range append(append(c.settings(), c.opts.Settings...), "listen_addresses="+host, "port="+port) {
		args = append(args, "-c", setting)
	}
	return process.Spec{
		Name: "postgres", Path: c.bin.postgres(), Args: args, Env: c.env(), Dir: c.Data(),
		LogFile: c.LogFile(), Credential: c.account.credential, Network: c.opts.Network,
		StopSignal:  syscall.SIGINT, // fast: sessions are ended, nothing is lost
		DeathSignal: syscall.SIGINT,
	}, nil
}

func (c *Cluster) settings() []string {
	settings := []string{
		// A socket's path would be too long in many folders.
		"unix_socket_directories=",
		"max_connections=200",
		"logging_collector=off",
		"log_line_prefix=%m [%p] %d ",
	}
	if c.opts.Durable {
		// WAL is not compressed: pglz takes 50 us a page, which makes transactions ten times
		// as slow in the first moment after a checkpoint. Not each build has lz4.
		return append(settings, "fsync=on", "full_page_writes=on", "synchronous_commit=on", "max_wal_size=2GB")
	}
	return append(settings, "fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_wal_size=2GB")
}
