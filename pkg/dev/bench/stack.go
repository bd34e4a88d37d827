package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

const (
	stream = "DELIVERIES"

	commandWithin = 5 * time.Minute
	// partWithin bounds the start or the end of one process of the stack.
	partWithin = 30 * time.Second
)

// bench is a stack of its own, with what the measurements need to reach it.
type bench struct {
	size     size
	bin      string
	appliers []string
	stack    *devstack.Stack
	host     string // of the ingress
	nc       *nats.Conn
	js       jetstream.JetStream
	db       *sql.DB
	// closing is what parts opened.
	closing []func() error
}

// open starts a stack in a throw-away folder.
func open(ctx context.Context, bin string, size size, opts devstack.Options) (_ *bench, err error) {
	opts.BinDir, opts.Env = bin, []string{"LOG_LEVEL=warn"}
	stack, err := devstack.Start(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("start the stack: %w", err)
	}
	b := &bench{size: size, bin: bin, stack: stack, host: strings.TrimPrefix(stack.IngressURL(), "http://")}
	for i := range opts.Appliers {
		b.appliers = append(b.appliers, "applier-"+strconv.Itoa(i+1))
	}
	if err := b.connect(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) close() error {
	var errs []error
	for i := len(b.closing) - 1; i >= 0; i-- {
		errs = append(errs, b.closing[i]())
	}
	return errors.Join(append(errs, b.stack.Stop(context.Background()))...)
}

func (b *bench) connect() (err error) {
	env := b.stack.Env()
	if b.nc, err = nats.Connect(env["NATS_URL"], nats.Name("coinhook bench")); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	b.closing = append(b.closing, func() error {
		b.nc.Close()
		return nil
	})
	if b.js, err = jetstream.New(b.nc); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	b.db, err = b.openDatabase(env["DATABASE_OWNER_URL"])
	return err
}

// openDatabase has the driver send parameters as the applier's does.
func (b *bench) openDatabase(rawURL string) (*sql.DB, error) {
	db, err := sql.Open("postgres", rawURL+"&binary_parameters=yes")
	if err != nil {
		return nil, fmt.Errorf("open a database: %w", err)
	}
	b.closing = append(b.closing, db.Close)
	return db, nil
}

// createDatabase makes a database on the stack's server and gives its URL.
func (b *bench) createDatabase(ctx context.Context, name string) (db *sql.DB, rawURL string, err error) {
	if _, err := b.db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, "", fmt.Errorf("create the database %s: %w", name, err)
	}
	u, err := url.Parse(b.stack.Env()["DATABASE_OWNER_URL"])
	if err != nil {
		return nil, "", fmt.Errorf("read DATABASE_OWNER_URL: %w", err)
	}
	u.Path = "/" + name
	db, err = b.openDatabase(u.String())
	return db, u.String(), err
}

// createStream makes a stream with the settings of the one that the ingress
// publishes to.
func (b *bench) createStream(ctx context.Context, name, subject string) error {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("read the state of the stream %s: %w", stream, err)
	}
	cfg := s.CachedInfo().Config
	cfg.Name, cfg.Subjects, cfg.Metadata = name, []string{subject}, nil
	if _, err := b.js.CreateStream(ctx, cfg); err != nil {
		return fmt.Errorf("create the stream %s: %w", name, err)
	}
	return nil
}

// coinhook runs the command on the stack; env goes before the stack's own.
func (b *bench) coinhook(ctx context.Context, env []string, input string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	return process.Output(ctx, process.Spec{
		Name: "coinhook", Path: filepath.Join(b.bin, "coinhook"), Args: args, Input: input,
		Env: slices.Concat(os.Environ(), process.KeyValues(b.stack.Env()), env),
	})
}

// do is coinhook for commands that read nothing, and whose output nobody needs.
func (b *bench) do(ctx context.Context, args ...string) error {
	_, err := b.coinhook(ctx, nil, "", args...)
	return err
}

// stopAppliers stops those that are named, or all.
func (b *bench) stopAppliers(ctx context.Context, names ...string) error {
	return b.eachApplier(ctx, names, b.stack.StopPart)
}

func (b *bench) startAppliers(ctx context.Context, names ...string) error {
	return b.eachApplier(ctx, names, b.stack.StartPart)
}

func (b *bench) eachApplier(ctx context.Context, names []string, do func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, partWithin)
	defer cancel()
	if len(names) == 0 {
		names = b.appliers
	}
	for _, name := range names {
		if err := do(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
