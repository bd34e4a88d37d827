package cli

import (
	"context"
	"errors"
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

// consoleConns is how many connections to PostgreSQL the pages share.
const consoleConns = 8

type consoleCmd struct{}

// Help lists the settings that the console alone has, and those of services.
func (consoleCmd) Help() string {
	return `Settings, from the environment:

  CONSOLE_ADDR     where to listen, by default 127.0.0.1:8090
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

// consoleSettings are those that the console alone has, and those of services. The
// development stack's are not meant: its console runs already.
type consoleSettings struct {
	Addr           service.Addr      `env:"CONSOLE_ADDR" envDefault:"127.0.0.1:8090"`
	URL            publicURL         `env:"CONSOLE_URL"`
	TLSCert        string            `env:"TLS_CERT"`
	TLSKey         string            `env:"TLS_KEY"`
	TrustedProxies proxies.Trusted   `env:"TRUSTED_PROXIES"`
	ShutdownDelay  time.Duration     `env:"SHUTDOWN_DELAY" envDefault:"0s" min:"0s" max:"10m"`
	LogLevel       service.LogLevel  `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat      service.LogFormat `env:"LOG_FORMAT"`
}

// publicURL is the address that browsers use; nil where it is the one to listen on.
type publicURL struct{ *url.URL }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *publicURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || parsed.Path != "" && parsed.Path != "/" {
		return errors.New("want the address that browsers use, such as https://coinhook.example.com, without a path")
	}
	u.URL = parsed
	return nil
}

func (a *app) consoleSettings() (consoleSettings, error) {
	environ := make([]string, 0, len(a.Env))
	for name, value := range a.Env {
		environ = append(environ, name+"="+value)
	}
	s, err := service.Parse[consoleSettings](environ)
	if err != nil {
		return s, usageError{err}
	}
	if s.LogFormat == "" {
		s.LogFormat = service.JSON
		if a.Terminal {
			s.LogFormat = service.Console
		}
	}
	return s, nil
}

// Run serves the pages until the process is asked to end.
func (c *consoleCmd) Run(a *app) error {
	settings, err := a.consoleSettings()
	if err != nil {
		return err
	}
	log := service.NewLogger(a.Stderr, "console", settings.LogLevel, settings.LogFormat).Hook(service.ReadBuild().FirstLine())
	certificate, err := settings.certificate(log)
	if err != nil {
		return err
	}
	opts, stop, err := a.consoleOptions(log, settings.TrustedProxies)
	if err != nil {
		return err
	}
	defer stop()
	opts.ShutdownDelay, opts.Certificate = settings.ShutdownDelay, certificate
	listener, err := net.Listen("tcp", string(settings.Addr))
	if err != nil {
		return fmt.Errorf("CONSOLE_ADDR: %w", err)
	}
	if opts.URL = settings.URL.URL; opts.URL == nil { // the port may have been picked just now
		opts.URL = &url.URL{Scheme: opts.Certificate.Scheme(), Host: listener.Addr().String()}
	}
	pages, err := console.New(opts)
	if err != nil {
		listener.Close() // the first error tells more
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
		monitor.Run(ctx) // it returns none
	}()
	return func() {
		cancel()
		<-ended
	}
}

// certificate is nil without TLS_CERT and TLS_KEY.
func (s consoleSettings) certificate(log zerolog.Logger) (*service.Certificate, error) {
	certificate, err := service.LoadCertificate(s.TLSCert, s.TLSKey, log)
	if err != nil {
		return nil, usageError{err}
	}
	if certificate != nil && s.URL.URL != nil && s.URL.Scheme != "https" {
		return nil, usagef("CONSOLE_URL=%q: want https://, because TLS_CERT is set", s.URL.URL)
	}
	return certificate, nil
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
		Accounts: db.Accounts(), Tokens: db.Tokens(),
		Trail:    db.Trail(),
		Users:    db.Users(),
		Logs:     db.Logs(),
		Settings: db.Communities(),

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
	publisher, stop, err := a.publisher(broker.PublisherOptions{})
	if err != nil {
		return opts, nil, err
	}
	opts.Publisher = publisher
	if opts.Replayer, err = a.replayer(publisher); err != nil {
		stop()
		return opts, nil, err
	}
	opts.Rejections = a.conn
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
