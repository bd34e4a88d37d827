// Package serve puts the console together: its settings, its pages and the read API.
package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/api"
	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/applier/console"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/proxies"
	"github.com/coinhook/coinhook/pkg/service"
)

// settings are those that the console alone has, and those of services. The help of the
// command lists them. The development stack's are not meant: its console runs already.
type settings struct {
	Addr           service.Addr      `env:"CONSOLE_ADDR" envDefault:"127.0.0.1:8090"`
	URL            publicURL         `env:"CONSOLE_URL"`
	TLSCert        string            `env:"TLS_CERT"`
	TLSKey         string            `env:"TLS_KEY"`
	TrustedProxies proxies.Trusted   `env:"TRUSTED_PROXIES"`
	ShutdownDelay  time.Duration     `env:"SHUTDOWN_DELAY" envDefault:"0s" min:"0s" max:"10m"`
	OpsAddr        service.Addr      `env:"OPS_ADDR"`
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

// Console serves the pages until ctx is done.
func Console(ctx context.Context, p cli.Process, open cli.OpenParts) error {
	s, err := readSettings(p)
	if err != nil {
		return err
	}
	log := service.NewLogger(p.Stderr, "console", s.LogLevel, s.LogFormat).Hook(service.ReadBuild().FirstLine())
	certificate, err := s.certificate(log)
	if err != nil {
		return err
	}
	parts, stop, err := open(log)
	if err != nil && ctx.Err() != nil {
		return nil // it was told to end while it waited
	}
	if err != nil {
		return err
	}
	defer stop()
	listener, err := net.Listen("tcp", string(s.Addr))
	if err != nil {
		return fmt.Errorf("CONSOLE_ADDR: %w", err)
	}
	registry := service.NewRegistry()
	ops, err := s.listenOps(service.OpsOptions{
		Gatherer: registry, Log: log,
		Checks: []service.Check{{Name: "nats", Run: parts.Broker.Ready}, {Name: "postgres", Run: parts.Database.Ready}},
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	opts := options(parts, s.TrustedProxies, log)
	opts.ShutdownDelay, opts.Certificate, opts.URL = s.ShutdownDelay, certificate, s.URL.URL
	if opts.URL == nil { // the port may have been picked just now
		opts.URL = &url.URL{Scheme: certificate.Scheme(), Host: listener.Addr().String()}
	}
	pages, err := console.New(opts)
	if err != nil {
		return errors.Join(err, listener.Close(), ops.Close())
	}
	// While all appliers are stopped, only the console can name deliveries that are
	// pending for too long: an ingress does not read them.
	monitor := broker.NewMonitor(parts.Broker, broker.MonitorOptions{Limit: parts.PendingLimit, Log: log, Metrics: registry})
	var group service.Group
	if ops != nil {
		group.Add("ops", 2*time.Second, ops.Run)
	}
	group.Add("pending", 2*time.Second, monitor.Run)
	group.Add("pages", s.ShutdownDelay+11*time.Second, func(ctx context.Context) error {
		context.AfterFunc(ctx, ops.Drain)
		return pages.Run(ctx, listener)
	})
	return group.Run(ctx)
}

// defaultOps is that of the services.
const defaultOps = service.Addr(":9090")

// listenOps takes OPS_ADDR. A console on the machine of a service would meet that one's
// listener at the default. It then goes without: CONSOLE_ADDR answers probes, too.
func (s settings) listenOps(opts service.OpsOptions) (*service.Ops, error) {
	opts.Addr = cmp.Or(s.OpsAddr, defaultOps)
	ops, err := service.ListenOps(opts)
	if err != nil && s.OpsAddr == "" {
		opts.Log.Warn().Err(err).Msg("the console shows no metrics: set OPS_ADDR to an address that is free")
		return nil, nil
	}
	return ops, err
}

func readSettings(p cli.Process) (settings, error) {
	s, err := service.Parse[settings](p.Environ())
	if s.LogFormat == "" {
		s.LogFormat = service.JSON
		if p.Terminal {
			s.LogFormat = service.Console
		}
	}
	return s, err
}

// certificate is nil without TLS_CERT and TLS_KEY.
func (s settings) certificate(log zerolog.Logger) (*service.Certificate, error) {
	certificate, err := service.LoadCertificate(s.TLSCert, s.TLSKey, log)
	if certificate != nil && s.URL.URL != nil && s.URL.Scheme != "https" {
		return nil, &service.SettingError{Variable: "CONSOLE_URL", Value: s.URL.String(), Want: "want https://, because TLS_CERT is set"}
	}
	return certificate, err
}

// options puts the services together.
func options(p cli.Parts, trusted proxies.Trusted, log zerolog.Logger) console.Options {
	db := p.Database
	opts := console.Options{
		Log:      log,
		Accounts: db.Accounts(), Tokens: db.Tokens(),
		Trail:    db.Trail(),
		Users:    db.Users(),
		Logs:     db.Logs(),
		Settings: db.Communities(),
		History:  p.History,
		Webhooks: p.Webhooks,

		DeadLetters: db.DeadLetters(),
		Replayer:    p.Replayer,
		Publisher:   p.Publisher,
		Reverter:    db.Reverter(),
		Payloads:    p.Payloads,

		Catcher:    p.Catcher,
		Rejections: p.Broker,
		Preview:    db.Preview(),
		Backtest:   p.Backtest,
		HookURL:    p.HookURL,

		TrustedProxies: trusted,
	}
	opts.API = api.New(api.Options{
		Log:        log,
		Tokens:     opts.Tokens,
		Trail:      opts.Trail,
		Address:    trusted.Extractor(),
		Deliveries: opts.History,
		Logs:       opts.Logs,
		Users:      opts.Users,
		Webhooks:   opts.Webhooks,
		Now:        time.Now,
	})
	return opts
}
