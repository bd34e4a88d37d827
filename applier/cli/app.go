package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/service"
)

const (
	defaultCommunity = "default"
	defaultNATSURL   = "nats://127.0.0.1:4222"
	defaultIngress   = "http://127.0.0.1:8080"

	// connectWithin is how long the broker and the database get to answer.
	connectWithin = 5 * time.Second
)

// app opens what a command needs, when it needs it.
type app struct {
	Process
	ctx   context.Context
	flags *commands
	set   settings          // as the environment has them
	stack map[string]string // settings of the running development stack

	conn    *broker.Conn
	connErr error // of the first attempt
	db      *wiring.Database
	dbNamed string // what names the database, empty for the development stack
	parser  *kong.Kong
	command string           // its words, such as webhooks apply
	trails  *wiring.Database // of the audit trail
	answers *bufio.Reader    // of the person at the terminal
	log     zerolog.Logger   // of what serves; commands have none
	role    broker.Role      // with the broker
}

func newApp(ctx context.Context, p Process, flags *commands) *app {
	a := &app{Process: p, ctx: ctx, flags: flags, log: zerolog.Nop(), role: broker.Admin}
	a.stack = a.findStack()
	return a
}

func (a *app) close() {
	if a.conn != nil {
		a.conn.Close()
	}
	for _, db := range []*wiring.Database{a.db, a.trails} {
		if db != nil {
			db.Close()
		}
	}
}

// setting returns the flag, else the environment's value, else that of the
// running development stack.
func (a *app) setting(flag, variable string) string {
	return cmp.Or(flag, a.Env[variable], a.stack[variable])
}

// named is the flag or variable that a setting comes from, empty where it is that of the
// development stack or a default.
func (a *app) named(flag, value, variable string) string {
	switch {
	case value != "":
		return flag
	case a.Env[variable] != "" && a.Env[variable+"_FILE"] != "":
		return variable + "_FILE"
	case a.Env[variable] != "":
		return variable
	}
	return ""
}

// community is where names are looked up and users are added.
func (a *app) community() string { return cmp.Or(a.flags.Community, defaultCommunity) }

func (a *app) broker() (*broker.Conn, error) {
	if a.conn != nil {
		return a.conn, a.connErr
	}
	if err := a.mayChange(); err != nil {
		return nil, err
	}
	opts, err := a.brokerOptions()
	if err != nil {
		return nil, err
	}
	conn, err := broker.Connect(opts)
	if err != nil {
		return nil, usagef("the connection to NATS: %w", err)
	}
	a.conn = conn
	if a.role == broker.Console { // it waits as the services do, and its log says so
		a.connErr = conn.WaitConnected(a.ctx)
	} else {
		a.connErr = a.awaitBriefly(conn, opts.URL)
	}
	return conn, a.connErr
}

func (a *app) awaitBriefly(conn *broker.Conn, url string) error {
	ctx, cancel := context.WithTimeout(a.ctx, connectWithin)
	defer cancel()
	go func() { // a command is not kept waiting for what will not change
		select {
		case <-conn.Refused():
			cancel()
		case <-ctx.Done():
		}
	}()
	err := conn.WaitConnected(ctx)
	if err != nil && !errors.Is(err, broker.ErrRefused) {
		return a.silent(url)
	}
	return err
}

// silent says which broker does not answer. If the person has named one, it does not
// suggest the development stack.
func (a *app) silent(url string) error {
	named := a.named("--nats-url", a.flags.NATSURL, "NATS_URL")
	if named == "" {
		return errors.New("NATS does not answer: start the development stack with `make run`, or name the broker with --nats-url or NATS_URL")
	}
	return fmt.Errorf("NATS does not answer at %s: check that it runs, and that %s names it", broker.WithoutSecrets(url), named)
}

// brokerOptions say where the broker is. The files and the delivery key belong to the
// URL: those of the development stack go with its own broker alone.
func (a *app) brokerOptions() (broker.Options, error) {
	opts := broker.Options{URL: cmp.Or(a.flags.NATSURL, a.Env["NATS_URL"]), Name: "coinhook", Role: a.role, Log: a.log}
	env := a.Env
	if opts.URL == "" && a.stack["NATS_URL"] != "" {
		opts.URL, env = a.stack["NATS_URL"], a.stack
	}
	opts.URL = cmp.Or(opts.URL, defaultNATSURL)
	if err := new(service.NATSURL).UnmarshalText([]byte(opts.URL)); err != nil {
		return opts, usagef("%s: %w", a.named("--nats-url", a.flags.NATSURL, "NATS_URL"), err)
	}
	for variable, path := range opts.Files.Settings() {
		if *path = env[variable]; *path == "" {
			continue
		}
		if err := service.CheckFile(*path); err != nil {
			return opts, usagef("%s=%q: %w", variable, *path, err)
		}
	}
	text := a.Env[secret.DeliveryKeyVariable]
	if text == "" && opts.URL == a.stack["NATS_URL"] {
		text = a.stack[secret.DeliveryKeyVariable]
	}
	if text == "" {
		return opts, nil
	}
	if err := opts.DeliveryKeys.UnmarshalText([]byte(text)); err != nil {
		return opts, usagef("%s: %w", secret.DeliveryKeyVariable, err)
	}
	return opts, nil
}

func (a *app) database() (*wiring.Database, error) { return a.openDatabase(time.Minute) }

func (a *app) openDatabase(statementTimeout time.Duration) (*wiring.Database, error) {
	return a.openFitting(wiring.Options{Name: "coinhook", StatementTimeout: statementTimeout})
}

// openFitting refuses a database whose tables this program cannot work with.
func (a *app) openFitting(opts wiring.Options) (*wiring.Database, error) {
	if a.db != nil {
		return a.db, nil
	}
	var err error
	if a.db, err = a.openDefault(opts); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(a.ctx, connectWithin)
	defer cancel()
	if err := a.db.Fits(ctx); err != nil {
		return nil, err
	}
	return a.db, nil
}

// openOwned opens the database as the owner of the tables, where one is named.
func (a *app) openOwned(opts wiring.Options) (db *wiring.Database, err error) {
	if owner := a.ownerURL(); owner != a.setting(a.flags.DatabaseURL, "DATABASE_URL") {
		a.db, err = a.openURL(owner, a.named("", "", "DATABASE_OWNER_URL"), opts)
	} else {
		a.db, err = a.openDefault(opts)
	}
	return a.db, err
}

// openDefault opens the database of all commands.
func (a *app) openDefault(opts wiring.Options) (*wiring.Database, error) {
	return a.openURL(a.setting(a.flags.DatabaseURL, "DATABASE_URL"), a.named("--database-url", a.flags.DatabaseURL, "DATABASE_URL"), opts)
}

func (a *app) ownerURL() string {
	url := a.setting(a.flags.DatabaseURL, "DATABASE_URL")
	owner := a.Env["DATABASE_OWNER_URL"]
	if owner == "" && url == a.stack["DATABASE_URL"] { // else it is another database
		owner = a.stack["DATABASE_OWNER_URL"]
	}
	switch {
	case owner == "" || a.flags.DatabaseURL != "":
		return url
	case url != "" && !wiring.SameDatabase(url, owner):
		a.say("DATABASE_OWNER_URL names another database than DATABASE_URL, and is ignored: the database of DATABASE_URL is set up.")
		return url
	}
	return owner
}

func (a *app) openURL(url, named string, opts wiring.Options) (*wiring.Database, error) {
	if url == "" {
		return nil, usagef("no database is named: start the development stack with `make run`, or name one with --database-url or DATABASE_URL")
	}
	a.dbNamed = named
	db, err := wiring.Open(url, opts)
	if err != nil {
		return nil, usagef("%s: %w", named, err)
	}
	return db, nil
}

func (a *app) webhooks() (*webhooks.Service, error) {
	master, err := a.masterKey()
	if err != nil {
		return nil, err
	}
	return a.webhooksWith(master)
}

func (a *app) webhooksWith(master secret.MasterKey) (*webhooks.Service, error) {
	conn, err := a.broker()
	if err != nil {
		return nil, err
	}
	return webhooks.New(broker.NewDefinitions(conn), a.readCommunity, func() time.Time { return time.Now().UTC() }, master), nil
}

// readCommunity returns the currencies and custom fields there are.
func (a *app) readCommunity(ctx context.Context, name string) (*applier.Community, error) {
	db, err := a.database()
	if err != nil {
		return nil, err
	}
	return db.Community(ctx, name)
}

// databaseAndStream opens both sources of what an admin sees of deliveries.
func (a *app) databaseAndStream() (db *wiring.Database, conn *broker.Conn, stream *broker.Stream, err error) {
	if db, err = a.database(); err != nil {
		return nil, nil, nil, err
	}
	if conn, err = a.broker(); err != nil {
		return nil, nil, nil, err
	}
	stream, err = conn.OpenStream(a.ctx)
	return db, conn, stream, err
}

func (a *app) history() (*history.History, error) {
	db, conn, stream, err := a.databaseAndStream()
	if err != nil {
		return nil, err
	}
	return db.History(stream, broker.NewDefinitions(conn), a.set.PendingLimit), nil
}

// say tells the person at the terminal something that is no result.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.Stderr, format+"\n", args...) }

// confirm asks before something is changed that cannot be taken back.
func (a *app) confirm(question string) error {
	if a.flags.Yes {
		return nil
	}
	if !a.Interactive {
		return usagef("there is no terminal to confirm on: add --yes")
	}
	answer, err := a.ask(question + " [y/N]")
	if err != nil {
		return err
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}

// ask returns the line that somebody answers. Call it where somebody is there, and
// before anything is changed.
func (a *app) ask(question string) (string, error) {
	if a.answers == nil { // one for all questions: it may read more than a line
		a.answers = bufio.NewReader(a.Stdin)
	}
	fmt.Fprintf(a.Stderr, "%s ", question)
	answer, err := interruptible(a.ctx, func() (string, error) { return a.answers.ReadString('\n') })
	if err != nil {
		return "", errors.New("no answer, nothing was changed")
	}
	return strings.TrimSpace(answer), nil
}

// maxFileBytes bounds a definition or payload: larger ones are refused anyway.
const maxFileBytes = 1 << 20

// readFile reads a file named on the command line; "-" is the standard input.
func (a *app) readFile(name string) ([]byte, error) {
	src := a.Stdin
	if name != "-" {
		file, err := os.Open(a.path(name))
		if err != nil {
			return nil, err
		}
		defer file.Close() // it was only read
		src = file
	}
	content, err := interruptible(a.ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(src, maxFileBytes+1)) })
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFileBytes)
	}
	return content, nil
}

// interruptible waits for somebody who may never answer, or for Ctrl-C.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, errors.New("interrupted")
	}
}

// causeOf is why the command was told to end, where it was, and else the error.
func (a *app) causeOf(err error) error { return cmp.Or(context.Cause(a.ctx), err) }

// path is that of a file named on the command line.
func (a *app) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(a.Dir, name)
}
