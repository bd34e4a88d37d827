package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/applier/api"
	"github.com/coinhook/coinhook/applier/console"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/proxies"
	"github.com/coinhook/coinhook/pkg/service"
)

const defaultConsoleAddr = "127.0.0.1:8090"

// consoleConns is how many connections to PostgreSQL the pages share.
const consoleConns = 8

type consoleCmd struct{}

// Help lists the settings that the console alone has, and those of services.
func (consoleCmd) Help() string {
	return `Settings, from the environment:

  CONSOLE_ADDR     where to listen, by default ` + defaultConsoleAddr + `
  CONSOLE_URL      the address that browsers use, by default CONSOLE_ADDR; with https:// cookies are for https only
  TLS_CERT         file of a certificate chain in PEM, read again when it changes; by default none, and plain HTTP
  TLS_KEY          file of the private key of TLS_CERT
  TRUSTED_PROXIES  networks whose X-Forwarded-For is believed, such as 10.0.0.0/8; by default none
  INGRESS_URL      what the URLs of webhooks begin with
  SHUTDOWN_DELAY   how long it still takes requests after SIGTERM, while /readyz says draining, by default 0s
  PENDING_LIMIT    how long a delivery may be pending before it stands out, by default 1h
  LOG_LEVEL        by default info
  LOG_FORMAT       json or console, by default console on a terminal and json elsewhere`
}

// Run serves the pages until the process is asked to end.
func (c *consoleCmd) Run(a *app) error {
	addr, address, err := a.consoleAddresses()
	if err != nil {
		return err
	}
	trusted, err := a.trustedProxies()
	if err != nil {
		return err
	}
	log, err := a.consoleLog()
	if err != nil {
		return err
	}
	delay, err := a.shutdownDelay()
	if err != nil {
		return err
	}
	certificate, err := a.certificate(address, log)
	if err != nil {
		return err
	}
	opts, stop, err := a.consoleOptions(log, trusted)
	if err != nil {
		return err
	}
	defer stop()
	opts.ShutdownDelay, opts.Certificate = delay, certificate
	listener, err := net.Listen("tcp", string(addr))
	if err != nil {
		return fmt.Errorf("CONSOLE_ADDR: %w", err)
	}
	if opts.URL = address; opts.URL == nil { // the port may have been picked just now
		opts.URL = &url.URL{Scheme: opts.Certificate.Scheme(), Host: listener.Addr().String()}
	}
	pages, err := console.New(opts)
	if err != nil {
		listener.Close() //nolint:errcheck // the first error tells more
		return err
	}
	defer a.watchPending()()
	return pages.Run(a.ctx, listener)
}

// watchPending warns of deliveries that are pending for too long, until stop is called.
// While all appliers are stopped, only the console can name them: an ingress does not
// read deliveries.
func (a *app) watchPending() (stop func()) {
	limit, err := a.pendingLimit()
	if err != nil { // the lists would have refused it before
		return func() {}
	}
	ctx, cancel := context.WithCancel(a.ctx)
	ended := make(chan struct{})
	monitor := broker.NewMonitor(a.conn, broker.MonitorOptions{Limit: limit, Log: a.log})
	go func() {
		defer close(ended)
		monitor.Run(ctx) //nolint:errcheck // it returns none
	}()
	return func() {
		cancel()
		<-ended
	}
}

// consoleAddresses are where to listen, and the public address, nil if it is the
// same. The development stack's are not meant: its console runs already.
func (a *app) consoleAddresses() (addr service.Addr, public *url.URL, err error) {
	text := cmp.Or(a.Env["CONSOLE_ADDR"], defaultConsoleAddr)
	if err := addr.UnmarshalText([]byte(text)); err != nil {
		return "", nil, usagef("CONSOLE_ADDR=%q: %w", text, err)
	}
	text = a.Env["CONSOLE_URL"]
	if text == "" {
		return addr, nil, nil
	}
	public, err = url.Parse(text)
	if err != nil || public.Scheme != "http" && public.Scheme != "https" || public.Host == "" || public.Path != "" && public.Path != "/" {
		return "", nil, usagef("CONSOLE_URL=%q: want the address that browsers use, such as https://coinhook.example.com, without a path", text)
	}
	return addr, public, nil
}

// certificate is nil without TLS_CERT and TLS_KEY.
func (a *app) certificate(public *url.URL, log zerolog.Logger) (*service.Certificate, error) {
	certificate, err := service.LoadCertificate(a.Env["TLS_CERT"], a.Env["TLS_KEY"], log)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if certificate != nil && public != nil && public.Scheme != "https" {
		return nil, usagef("CONSOLE_URL=%q: want https://, because TLS_CERT is set", public)
	}
	return certificate, nil
}

// trustedProxies are none unless they are named.
func (a *app) trustedProxies() (trusted proxies.Trusted, err error) {
	if text := a.Env["TRUSTED_PROXIES"]; text != "" {
		if err := trusted.UnmarshalText([]byte(text)); err != nil {
			return nil, usagef("TRUSTED_PROXIES=%q: %w", text, err)
		}
	}
	return trusted, nil
}

func (a *app) shutdownDelay() (time.Duration, error) {
	text := cmp.Or(a.Env["SHUTDOWN_DELAY"], "0s")
	delay, err := time.ParseDuration(text)
	if err != nil || delay < 0 || delay > 10*time.Minute {
		return 0, usagef("SHUTDOWN_DELAY=%q: want a duration such as 5s, from 0s to 10m", text)
	}
	return delay, nil
}

func (a *app) consoleLog() (zerolog.Logger, error) {
	format := service.JSON
	if a.Terminal {
		format = service.Console
	}
	level := service.LogLevel(zerolog.InfoLevel)
	if text := a.Env["LOG_LEVEL"]; text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return zerolog.Nop(), usagef("LOG_LEVEL=%q: %w", text, err)
		}
	}
	if text := a.Env["LOG_FORMAT"]; text != "" {
		if err := format.UnmarshalText([]byte(text)); err != nil {
			return zerolog.Nop(), usagef("LOG_FORMAT=%q: %w", text, err)
		}
	}
	return service.NewLogger(a.Stderr, "console", level, format).Hook(service.ReadBuild().FirstLine()), nil
}

// consoleOptions puts the services together. stop ends what they publish with.
func (a *app) consoleOptions(log zerolog.Logger, trusted proxies.Trusted) (opts console.Options, stop func(), err error) {
	a.log, a.role = log, broker.Console
	db, err := a.openFitting(wiring.Options{Name: "coinhook console", MaxConns: consoleConns})
	if err != nil {
		return opts, nil, err
	}
	master, err := a.masterKey()
	if err != nil {
		return opts, nil, err
	}
	opts = console.Options{
		Log:      log,
		Accounts: db.Accounts(),
		Trail:    db.Trail(),
		Users:    db.Users(),
		Logs:     db.Logs(),
		Settings: db.Communities(),
		Overview: db.Overview(),

		DeadLetters: db.DeadLetters(),
		Reverter:    db.Reverter(),
		Payloads:    sealed.NewPayloads(master),

		TrustedProxies: trusted,
	}
	if opts.Webhooks, err = a.webhooks(); err != nil {
		return opts, nil, err
	}
	if opts.History, err = a.history(); err != nil {
		return opts, nil, err
	}
	if opts.Catcher, err = a.catcher(); err != nil {
		return opts, nil, err
	}
	if opts.Backtest, err = a.backtest(); err != nil {
		return opts, nil, err
	}
	if opts.Replayer, stop, err = a.replayer(); err != nil {
		return opts, nil, err
	}
	opts.Preview, opts.HookURL = db.Preview(), a.url
	opts.API = api.New(api.Options{
		Log:        log,
		Tokens:     db.Tokens(),
		Trail:      opts.Trail,
		Address:    trusted.Extractor(),
		Deliveries: opts.History,
		Logs:       opts.Logs,
		Users:      opts.Users,
		Webhooks:   opts.Webhooks,
		Now:        time.Now,
	})
	return opts, stop, nil
}
