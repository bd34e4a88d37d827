// Package cli is the admin's command, one file per group of commands.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/service"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Process is what the command gets from the operating system.
type Process struct {
	Args           []string // without the command's own name
	Env            map[string]string
	Dir            string // the folder it is called in
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Interactive says that somebody can answer a question.
	Interactive bool
	// Terminal says that Stderr is one.
	Terminal bool
	// Width is that of the terminal which Stdout is, in characters; 0 for none.
	Width int
	// Console is what `coinhook console` runs.
	Console ServeConsole
}

type commands struct {
	NATSURL     string `name:"nats-url" placeholder:"URL" help:"The broker (NATS_URL, or in a file: NATS_URL_FILE). Default: the running development stack's, else nats://127.0.0.1:4222."`
	DatabaseURL string `name:"database-url" placeholder:"URL" help:"The PostgreSQL database (DATABASE_URL, or in a file: DATABASE_URL_FILE). Default: the running development stack's."`
	Community   string `type:"community" placeholder:"C" help:"The community of webhooks and users given by name (default: default). If given, it narrows lists."`
	Output      string `short:"o" enum:"table,json" default:"table" help:"The format of results: ${enum}."`
	Yes         bool   `help:"Do not ask before changing something."`

	Setup       setupCmd       `cmd:"" help:"Create or upgrade streams, buckets and tables. Safe to repeat."`
	Webhooks    webhooksCmd    `cmd:"" help:"Webhooks and their definitions."`
	Users       usersCmd       `cmd:"" help:"The users whose balances change."`
	Communities communitiesCmd `cmd:"" help:"The tenants: each has its own webhooks, users and currencies."`
	Currencies  currenciesCmd  `cmd:"" help:"The currencies of a community, their decimals and limits."`
	Fields      fieldsCmd      `cmd:"" help:"The custom fields of a community's users."`
	Deliveries  deliveriesCmd  `cmd:"" help:"The outcome of each accepted request."`
	DLQ         dlqCmd         `cmd:"" name:"dlq" help:"Dead letters: failed deliveries, kept until they are replayed or discarded."`
	Logs        logsCmd        `cmd:"" help:"Gamification logs: every change of a balance."`
	Tokens      tokensCmd      `cmd:"" help:"Bearer tokens of the read API."`
	Audit       auditCmd       `cmd:"" help:"Check that every accepted delivery is accounted for. Exits with 1 if not."`
	Trail       trailCmd       `cmd:"" help:"The audit trail: who changed or saw what."`
	Admins      adminsCmd      `cmd:"" help:"Who may sign in to the console."`
	Console     consoleCmd     `cmd:"" help:"Serve the admin console."`
	Secrets     secretsCmd     `cmd:"" help:"The secrets that COINHOOK_MASTER_KEY seals."`
	Sign        signCmd        `cmd:"" help:"Sign a body as a webhook's sender would, to test it."`
	Encrypt     encryptCmd     `cmd:"" help:"Encrypt a body for a webhook, to test a sender."`
	Help        helpCmd        `cmd:"" help:"Show how a command is used."`
	Completion  completionCmd  `cmd:"" help:"Print a script that completes commands, flags and names in a shell."`
}

// usageError is a call whose words are off.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// results is the standard output, and remembers that it does not take them: a full disk
// must not look like success.
type results struct {
	io.Writer
	err error
}

func (r *results) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

// exit carries kong's wish to end the process, as after --help.
type exit int

// Run runs one command and returns its exit code: 0 done, 1 failed, 2 bad
// usage. Results go to stdout, everything else to stderr.
func Run(ctx context.Context, p Process) (code int) {
	out := &results{Writer: p.Stdout}
	p.Stdout = out
	defer func() {
		if v := recover(); v != nil {
			wish, ok := v.(exit)
			if !ok {
				panic(v)
			}
			code = int(wish)
		}
		if out.err != nil { // the parser takes it for a mistake when it prints a help
			fmt.Fprintln(p.Stderr, "coinhook: the result could not be written:", out.err)
			code = exitFailed
		}
	}()
	if asksVersion(p.Args) {
		fmt.Fprintln(p.Stdout, "coinhook", service.ReadBuild())
		return exitDone
	}
	if len(p.Args) > 0 && p.Args[0] == completing {
		complete(ctx, p)
		return exitDone
	}
	var c commands
	parser, err := newParser(&c, p)
	if err != nil {
		fmt.Fprintln(p.Stderr, "coinhook:", err)
		return exitFailed
	}
	if len(p.Args) == 0 {
		fmt.Fprint(p.Stderr, guide) // programs read the standard output
		return exitUsage
	}
	parsed, err := parser.Parse(p.Args)
	if err != nil {
		fmt.Fprintf(p.Stderr, "coinhook: %s. See %s --help.\n", usageText(parser, p, err), reached(err))
		return exitUsage
	}
	p.Env = maps.Clone(p.Env)
	command := pathOf(parsed.Selected())
	set, err := p.readSettings(&c, command)
	if err != nil {
		fmt.Fprintln(p.Stderr, "coinhook:", err)
		return exitUsage
	}
	a := newApp(ctx, p, &c)
	defer a.close()
	a.set, a.command, a.parser = set, command, parser
	if err = refuseEmpty(parsed); err == nil {
		err = a.checkCommunity(parsed.Selected())
	}
	if err == nil {
		err = a.run(parsed)
	}
	var usage usageError
	var setting *service.SettingError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), errors.As(err, &setting):
		fmt.Fprintln(p.Stderr, "coinhook:", err)
		return exitUsage
	default:
		fmt.Fprintln(p.Stderr, "coinhook:", a.withObjection(a.whoIsAway(err)))
		return exitFailed
	}
}

// run runs a command. One that needs a service before all else has it as a parameter.
func (a *app) run(parsed *kong.Context) error {
	for _, open := range []any{a.database, a.webhooks} {
		if err := parsed.BindToProvider(open); err != nil {
			return err
		}
	}
	return parsed.Run(a)
}

// asksVersion reports whether --version stands before any command. Some commands have a
// flag of that name, about webhooks.
func asksVersion(args []string) bool {
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--version":
			return true
		case "--nats-url", "--database-url", "--community", "-o", "--output":
			i++ // its value
		default:
			if !strings.HasPrefix(args[i], "-") {
				return false
			}
		}
	}
	return false
}

// newParser reads the command line into c.
func newParser(c *commands, p Process) (*kong.Kong, error) {
	parser, err := kong.New(c,
		kong.Name("coinhook"),
		kong.Description("The admin's command of Coinhook: webhooks that add and subtract in-game currency, exactly once.\n\ncoinhook --version prints the version, the commit and the version of Go."),
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.NamedMapper("community", kong.MapperFunc(addCommunity)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Help(printHelp),
	)
	if err != nil {
		return nil, err
	}
	addExamples(parser)
	return parser, nil
}

// whoIsAway says who does not answer. The broker's own errors say it.
func (a *app) whoIsAway(err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case !ok && errors.Is(err, applier.ErrSilent):
		return fmt.Errorf("%w: try again in a moment", err)
	case ok && (op.Op == "read" || op.Op == "write"), errors.Is(err, io.EOF):
		return fmt.Errorf("PostgreSQL does not answer, or it closed the connection: try again in a moment: %w", err)
	case !ok || op.Op != "dial":
		return err
	case a.dbNamed == "":
		return fmt.Errorf("PostgreSQL does not answer: start the development stack with `make run`, or name the database with --database-url or DATABASE_URL: %w", err)
	}
	return fmt.Errorf("%w: check that PostgreSQL runs, and that %s names it", err, a.dbNamed)
}

// withObjection adds what the broker did not permit. It leaves such requests without
// an answer, so that the error itself speaks of the time that has passed. Else it says that
// the broker is the one who does not answer.
func (a *app) withObjection(err error) error {
	if a.conn == nil || errors.Is(err, broker.ErrRefused) {
		return err
	}
	if objection := a.conn.Objection(); objection != nil {
		return fmt.Errorf("%w: name a user with the permissions of an admin in NATS_URL, NATS_CREDS or NATS_NKEY (%w)", objection, err)
	}
	return history.NameAway(err)
}

// ago is a point in time: a duration ago, or a date or time. One without a zone is
// local, as tables show it.
type ago struct {
	time.Time
	text string // as it was asked for
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *ago) UnmarshalText(text []byte) error {
	s := string(text)
	a.text = s
	for _, layout := range []string{time.RFC3339, time.DateOnly, time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			a.Time = t
			return nil
		}
	}
	d, err := parseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("want a duration such as 90m, 24h or 7d, a date such as 2026-11-23, or a time such as 2026-11-23T10:00:00Z, not %q", s)
	}
	a.Time = time.Now().Add(-d)
	return nil
}

// span is what --since and --until ask for, zero where they are left out.
func (a *app) span(since, until *ago) (from, to time.Time, err error) {
	if since != nil {
		from = since.Time
	}
	if until != nil {
		to = until.Time
	}
	if until != nil && !from.Before(to) {
		return from, to, usagef("--until has to be later than --since")
	}
	if from.After(time.Now()) {
		a.say("--since %s is in the future: nothing has happened since then.", since.text)
	}
	return from, to, nil
}

// parseDuration takes days too, written 7d.
func parseDuration(s string) (time.Duration, error) {
	const most = 100 * 365 // far below what overflows
	text, inDays := strings.CutSuffix(s, "d")
	if days, err := strconv.Atoi(text); inDays && err == nil && days <= most {
		return time.Duration(days) * 24 * time.Hour, nil
	}
	return time.ParseDuration(s)
}

// parseOverlap reads how long what is replaced still works.
func parseOverlap(s string) (time.Duration, error) {
	overlap, err := parseDuration(s)
	if err != nil || overlap < 0 {
		return 0, usagef("--overlap is a duration such as 24h or 7d, or 0, not %q", s)
	}
	return overlap, nil
}
