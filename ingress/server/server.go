// Package server is the ingress over HTTP: routes, limits and the problem
// table. It is the only importer of echo here.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/proxies"
	"github.com/coinhook/coinhook/pkg/service"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Receiver decides about requests. Its errors are *ingress.Error, or bugs. It bounds
// the time that it takes.
type Receiver interface {
	// Intake is how requests of a webhook look, whether or not there is one.
	Intake(webhookID string) *webhook.Intake
	// Authenticate makes the checks that need no body. Nothing of a body is kept
	// before it has returned the webhook.
	Authenticate(head ingress.Head) (*webhook.Webhook, error)
	Receive(ctx context.Context, req ingress.Request) (ingress.Receipt, error)
	// AuthenticateReceipt and TellReceipt answer what became of a delivery, as JSON.
	AuthenticateReceipt(head ingress.Head) error
	TellReceipt(ctx context.Context, webhookID string, id delivery.ID) ([]byte, error)
	// Refused is called for each request that was answered with an error. It does not
	// block.
	Refused(head ingress.Head, refusal *ingress.Error, bodyBytes int64)
}

// Options describe a Server. A limit or timeout that is 0 has its default.
type Options struct {
	Receiver Receiver
	Log      zerolog.Logger
	Metrics  prometheus.Registerer // nil for none

	// MaxBodyBytes is the largest body that is accepted.
	MaxBodyBytes int64
	// MaxInFlight and MaxInFlightBytes bound the requests being answered and
	// their bodies. More requests are refused at once. SharePercent of both is what
	// a webhook and an address may hold.
	MaxInFlight      int64
	MaxInFlightBytes int64
	SharePercent     int64
	// MaxConnections bounds the connections, and MaxAddressConnections those of one
	// address that is no trusted proxy's.
	MaxConnections        int64
	MaxAddressConnections int64
	TrustedProxies        proxies.Trusted
	// URL is where senders reach the server, above /hooks/. nil leaves it to what the
	// request and trusted proxies say.
	URL *url.URL
	// Certificate makes it HTTPS. It may be nil.
	Certificate *service.Certificate
	Timeouts    Timeouts
}

// Timeouts of a connection. WriteTimeout counts from the request's headers: it
// has to be longer than ReadTimeout and the Receiver's time together.
type Timeouts struct {
	ReadHeader, Read, Write, Idle time.Duration
	// Stall is how long the start of a request may take, headers included; a body
	// that goes on arriving has until Read. Linger is how long a sender that is
	// refused may go on sending.
	Stall, Linger time.Duration
	// Delay is how long a server that is told to stop still takes requests. Drain is
	// how long those in flight have after that.
	Delay, Drain time.Duration
	// HoldBack is the shortest wait of an answer to a refused request when too many are
	// refused.
	HoldBack time.Duration
}

func (o Options) withDefaults() Options {
	o.MaxBodyBytes = orDefault(o.MaxBodyBytes, 512<<10)
	o.MaxInFlight = orDefault(o.MaxInFlight, 4096)
	o.MaxInFlightBytes = max(orDefault(o.MaxInFlightBytes, 256<<20), o.MaxBodyBytes)
	o.SharePercent = orDefault(o.SharePercent, 25)
	o.MaxConnections = orDefault(o.MaxConnections, 8192)
	o.MaxAddressConnections = orDefault(o.MaxAddressConnections, 2048)
	t := &o.Timeouts
	t.ReadHeader = orDefault(t.ReadHeader, 5*time.Second)
	t.Read = orDefault(t.Read, 15*time.Second)
	t.Stall = min(orDefault(t.Stall, 5*time.Second), t.Read)
	t.Linger = min(orDefault(t.Linger, 2*time.Second), t.Read)
	t.Write = orDefault(t.Write, 25*time.Second)
	t.Idle = orDefault(t.Idle, 75*time.Second)
	t.Drain = orDefault(t.Drain, 10*time.Second)
	t.HoldBack = orDefault(t.HoldBack, 250*time.Millisecond)
	return o
}

func orDefault[T int64 | time.Duration](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}

// Server takes requests in.
type Server struct {
	opts     Options
	http     *http.Server
	metrics  *metrics
	clients  *clients
	places   *places
	door     *door
	failures *failures
	holdBack *holdBack
	// The lines of what strangers do often.
	failedLog, closedLog tally
	// troubleLog is for faults that come with every request while they last.
	troubleLog zerolog.Logger
}

// New returns a server that is not listening yet.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{
		opts:       opts,
		clients:    newClients(),
		places:     newPlaces(opts),
		failures:   newFailures(),
		holdBack:   newHoldBack(opts.Timeouts.HoldBack),
		troubleLog: opts.Log.Sample(&zerolog.BurstSampler{Burst: 5, Period: 10 * time.Second}),
	}
	s.door = &door{
		clients: s.clients, all: int(opts.MaxConnections), each: int(opts.MaxAddressConnections),
		exempt: opts.TrustedProxies.Contains, refused: s.noteClosed,
	}
	s.metrics = newMetrics(opts.Metrics, s.places, s.door)

	e := echo.New()
	e.Logger.SetOutput(io.Discard) // all that matters is logged here
	e.IPExtractor = opts.TrustedProxies.Extractor()
	e.HTTPErrorHandler = s.noRoute
	const route = "/hooks/:webhook_id"
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodPut} {
		e.Add(method, route, s.observe(s.receive))
	}
	e.GET(route+receiptPath, s.observe(s.tellReceipt))
	// Without a route of its own echo answers OPTIONS with 204.
	e.OPTIONS(route, echo.MethodNotAllowedHandler)
	e.OPTIONS(route+receiptPath, echo.MethodNotAllowedHandler)

	s.http = &http.Server{
		Handler:           e,
		ReadHeaderTimeout: opts.Timeouts.ReadHeader,
		ReadTimeout:       opts.Timeouts.Stall, // readBody moves it
		WriteTimeout:      opts.Timeouts.Write,
		IdleTimeout:       opts.Timeouts.Idle,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       keepConn,
		ErrorLog:          stdlog.New(s.troubleLog.With().Str("level", "warn").Logger(), "", 0),
	}
	return s
}

// noteClosed counts a connection that was closed at the door.
func (s *Server) noteClosed(reason string, addr netip.Addr) {
	s.metrics.closed[reason].Inc()
	if line := s.closedLog.log(&s.opts.Log, time.Now()); line != nil {
		line.Str("reason", reason).Str("remote_ip", addr.String()).Msg("connections were closed at once; this is the last of them")
	}
}

// Serve answers requests until ctx is done, the delay has passed, and those then in
// flight have their answers or the drain timeout has passed. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.opts.Log.Info().Str("addr", listener.Addr().String()).Msg("listening")
	defer context.AfterFunc(ctx, func() {
		s.opts.Log.Info().Dur("delay", s.opts.Timeouts.Delay).Msg("draining")
	})()
	s.door.Listener = listener
	err := service.ServeHTTP(ctx, s.http, s.opts.Certificate.Serve(s.http, s.door), service.Stop{
		Delay: s.opts.Timeouts.Delay, Drain: s.opts.Timeouts.Drain,
		Closing: func() { s.opts.Log.Info().Int64("in_flight", s.places.taken.requests()).Msg("no longer listening") },
	})
	if errors.Is(err, service.ErrNotDrained) {
		err = fmt.Errorf("%d requests are left: %w", s.places.taken.requests(), err)
	}
	return err
}
