package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/devstack"
)

const (
	community = "bench"
	// bareDatabase has the same tables and users as the stack's own database.
	bareDatabase = "bench_bare"

	stream  = "DELIVERIES"
	subject = "coinhook.deliveries"
	// The bare publishers' stream has the settings of the stack's.
	bareStream  = "BENCH"
	bareSubject = "bench.deliveries"

	commandWithin = 60 * time.Second
	// partWithin bounds the start or the end of one process of the stack.
	partWithin = 30 * time.Second
)

var appliers = []string{"applier-1", "applier-2"}

// bench is a stack of its own, with what the measurements need to reach it.
type bench struct {
	size  size
	bin   string
	stack *devstack.Stack
	nc    *nats.Conn
	js    jetstream.JetStream
	db    *sql.DB
	bare  *sql.DB

	webhook webhook
	events  []event
}

// webhook is what the command says of the one that was applied.
type webhook struct {
	ID     string `json:"id"`
	APIKey string `json:"api_key"`
}

// open starts a stack in a throw-away folder and sets it up.
func open(ctx context.Context, bin string, size size) (_ *bench, err error) {
	stack, err := devstack.Start(ctx, devstack.Options{BinDir: bin, Appliers: len(appliers), Env: []string{"LOG_LEVEL=warn"}})
	if err != nil {
		return nil, fmt.Errorf("start the stack: %w", err)
	}
	b := &bench{size: size, bin: bin, stack: stack}
	for _, step := range []func(context.Context) error{b.connect, b.configure, b.copyTables, b.copyStream} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	if b.events, err = newEvents(b.stack.IngressURL(), b.webhook); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) close() error {
	if b.nc != nil {
		b.nc.Close()
	}
	var errs []error
	for _, db := range []*sql.DB{b.db, b.bare} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, b.stack.Stop(context.Background()))...)
}

func (b *bench) connect(context.Context) (err error) {
	env := b.stack.Env()
	if b.nc, err = nats.Connect(env["NATS_URL"], nats.Name("coinhook bench")); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if b.js, err = jetstream.New(b.nc); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if b.db, err = openDatabase(env["DATABASE_URL"]); err != nil {
		return err
	}
	bareURL, err := withDatabase(env["DATABASE_URL"], bareDatabase)
	if err != nil {
		return err
	}
	b.bare, err = openDatabase(bareURL)
	return err
}

// openDatabase has the driver send parameters as the applier's does.
func openDatabase(rawURL string) (*sql.DB, error) {
	db, err := sql.Open("postgres", rawURL+"&binary_parameters=yes")
	if err != nil {
		return nil, fmt.Errorf("open a database: %w", err)
	}
	return db, nil
}

func withDatabase(rawURL, name string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", fmt.Errorf("read DATABASE_URL: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

const definition = `name: Bench
community: ` + community + `
state: active
auth:
  api_key: true
encryption: none
user:
  by: username
  path: customer.login
when:
  - {path: type, equals: order.paid}
mappings:
  - {currency: xp, operator: add, value: {path: order.points}}
`

// configure makes the users and the webhook with the product's own command.
func (b *bench) configure(ctx context.Context) error {
	if err := b.importUsers(ctx, nil); err != nil {
		return err
	}
	out, err := b.coinhook(ctx, nil, []byte(definition), "webhooks", "apply", "-f", "-", "-o", "json", "--yes")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, &b.webhook); err != nil || b.webhook.ID == "" || b.webhook.APIKey == "" {
		return fmt.Errorf("coinhook webhooks apply: want JSON with id and api_key, not %s", out)
	}
	return nil
}

func (b *bench) importUsers(ctx context.Context, env []string) error {
	var csv bytes.Buffer
	fmt.Fprintln(&csv, "email,username")
	for i := range users {
		fmt.Fprintf(&csv, "%s@example.com,%[1]s\n", userName(i))
	}
	_, err := b.coinhook(ctx, env, csv.Bytes(), "users", "import", "-", "--community", community, "--yes")
	return err
}

// copyTables has the product's own migrations make the tables once more.
func (b *bench) copyTables(ctx context.Context) error {
	if _, err := b.db.ExecContext(ctx, "CREATE DATABASE "+bareDatabase); err != nil {
		return fmt.Errorf("create the database %s: %w", bareDatabase, err)
	}
	bareURL, err := withDatabase(b.stack.Env()["DATABASE_URL"], bareDatabase)
	if err != nil {
		return err
	}
	env := []string{"DATABASE_URL=" + bareURL}
	if _, err := b.coinhook(ctx, env, nil, "setup", "--yes"); err != nil {
		return err
	}
	return b.importUsers(ctx, env)
}

func (b *bench) copyStream(ctx context.Context) error {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("look at the stream %s: %w", stream, err)
	}
	cfg := s.CachedInfo().Config
	cfg.Name, cfg.Subjects, cfg.Metadata = bareStream, []string{bareSubject}, nil
	if _, err := b.js.CreateStream(ctx, cfg); err != nil {
		return fmt.Errorf("create the stream %s: %w", bareStream, err)
	}
	return nil
}

// coinhook runs the command on the stack; env goes before the stack's own.
func (b *bench) coinhook(ctx context.Context, env []string, stdin []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "coinhook"), args...)
	cmd.Env = os.Environ()
	for key, value := range b.stack.Env() {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("coinhook %s %s: %w\n%s", args[0], args[1], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

func (b *bench) stopAppliers(ctx context.Context) error {
	return b.eachApplier(ctx, b.stack.StopPart)
}

func (b *bench) startAppliers(ctx context.Context) error {
	return b.eachApplier(ctx, b.stack.StartPart)
}

func (b *bench) eachApplier(ctx context.Context, do func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, partWithin)
	defer cancel()
	for _, name := range appliers {
		if err := do(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
