package cli

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
)

// ServeConsole serves the console until ctx is done. The command knows neither pages nor
// the read API: its main package puts them together.
type ServeConsole func(ctx context.Context, p Process, open OpenParts) error

// OpenParts opens the parts. Call stop once nothing uses them any more.
type OpenParts func(log zerolog.Logger) (parts Parts, stop func(), err error)

// Parts are what the console is made of. They are opened by the settings and flags that
// all commands have.
type Parts struct {
	Database *wiring.Database
	Broker   *broker.Conn
	Webhooks *webhooks.Service
	History  *history.History
	Catcher  *sample.Catcher
	Backtest *trial.Backtest
	Replayer *replay.Replayer
	// Publisher puts replays and adjustments on their way.
	Publisher *broker.Publisher
	Payloads  *sealed.Payloads
	// HookURL is where senders POST to.
	HookURL func(webhookID string) string
	// PendingLimit is how long a delivery may be pending before it is overdue.
	PendingLimit time.Duration
}

// consoleConns is how many connections to PostgreSQL the pages share.
const consoleConns = 8

type consoleCmd struct{}

// Help lists the settings that the console alone has, and those of services.
func (consoleCmd) Help() string {
	return `NATS_CREDS, NATS_NKEY, NATS_CA, NATS_CERT, NATS_KEY, COINHOOK_MASTER_KEY and
DELIVERY_KEY are as coinhook --help says. More settings, from the environment:

  CONSOLE_ADDR     where to listen, by default 127.0.0.1:8090
  CONSOLE_URL      the address that browsers use, by default CONSOLE_ADDR; with https:// cookies are sent over https only
  TLS_CERT         file of a certificate chain in PEM, read again when it changes; by default none, and plain HTTP
  TLS_KEY          file of the private key of TLS_CERT
  TRUSTED_PROXIES  networks of proxies whose X-Forwarded-For is trusted, such as 10.0.0.0/8; by default none
  INGRESS_URL      what the URLs of webhooks begin with
  SHUTDOWN_DELAY   how long it still accepts requests after SIGTERM while /readyz says draining, by default 0s
  OPS_ADDR         where /healthz, /readyz and /metrics listen, by default :9090 if it is free
  PENDING_LIMIT    how long a delivery may be pending before it counts as overdue, by default 1h
  LOG_LEVEL        by default info
  LOG_FORMAT       json or console, by default console on a terminal and json elsewhere`
}

// Run serves the pages until the process is asked to end.
func (consoleCmd) Run(a *app) error { return a.Console(a.ctx, a.Process, a.openParts) }

func (a *app) openParts(log zerolog.Logger) (p Parts, stop func(), err error) {
	a.log, a.role = log, broker.Console
	if p.Database, err = a.openFitting(wiring.Options{Name: "coinhook console", MaxConns: consoleConns}); err != nil {
		return p, nil, err
	}
	master, err := a.masterKey()
	if err != nil {
		return p, nil, err
	}
	if p.Webhooks, err = a.webhooks(); err != nil {
		return p, nil, err
	}
	if p.History, err = a.history(); err != nil {
		return p, nil, err
	}
	if p.Catcher, err = a.catcher(); err != nil {
		return p, nil, err
	}
	if p.Backtest, err = a.backtest(); err != nil {
		return p, nil, err
	}
	if p.Publisher, stop, err = a.publisher(broker.PublisherOptions{}); err != nil {
		return p, nil, err
	}
	if p.Replayer, err = a.replayer(p.Publisher); err != nil {
		stop()
		return p, nil, err
	}
	p.Broker, p.Payloads, p.HookURL, p.PendingLimit = a.conn, sealed.NewPayloads(master), a.url, a.set.PendingLimit
	return p, stop, nil
}
