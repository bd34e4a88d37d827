package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// checkTimeout bounds all readiness checks of one request together: probes
// commonly give up after a few seconds.
const checkTimeout = 2 * time.Second

// Check is one condition of a service's readiness.
type Check struct {
	Name string
	// Run returns why it does not hold. It has to heed its context.
	Run func(context.Context) error
}

// OpsOptions describe an ops listener.
type OpsOptions struct {
	Addr     Addr
	Gatherer prometheus.Gatherer
	Checks   []Check
	Log      zerolog.Logger
}

// Ops is the listener for operators and probes: /healthz says that the process is
// alive, /readyz whether it can work, and /metrics has its metrics. Drain and Close
// work on nil, too.
type Ops struct {
	listener net.Listener
	server   *http.Server
	checks   []Check
	log      zerolog.Logger
	draining atomic.Bool

	mu   sync.Mutex
	said map[string]bool // checks whose failure is logged
}

// NewRegistry returns a registry with the metrics of the process and its build.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	//lint:ignore SA1019 the package collectors brings database/sql along, and the ingress is to have no SQL
	r.MustRegister(prometheus.NewGoCollector(), prometheus.NewProcessCollector(prometheus.ProcessCollectorOpts{}))
	ReadBuild().register(r)
	return r
}

// ListenOps takes the address, so that one in use is an error at start. Run
// serves it.
func ListenOps(opts OpsOptions) (*Ops, error) {
	listener, err := net.Listen("tcp", string(opts.Addr))
	if err != nil {
		return nil, fmt.Errorf("cannot listen on OPS_ADDR: %w", err)
	}
	o := &Ops{listener: listener, checks: opts.Checks, log: opts.Log, said: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, readiness{Status: "alive"})
	})
	mux.HandleFunc("GET /readyz", o.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(opts.Gatherer, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	o.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	return o, nil
}

// Addr returns the address that is listened on, with its real port.
func (o *Ops) Addr() string { return o.listener.Addr().String() }

// Drain makes /readyz answer 503 from now on.
func (o *Ops) Drain() {
	if o != nil {
		o.draining.Store(true)
	}
}

// Run serves until ctx is done.
func (o *Ops) Run(ctx context.Context) error {
	o.log.Info().Str("addr", o.Addr()).Msg("ops listening")
	err := ServeHTTP(ctx, o.server, o.listener, Stop{Drain: time.Second})
	if errors.Is(err, ErrNotDrained) {
		return nil // a probe that hangs may be ignored
	}
	return err
}

// Close gives the address back if Run was never called.
func (o *Ops) Close() error {
	if o == nil {
		return nil
	}
	if err := o.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

type readiness struct {
	Status  string    `json:"status"`
	Failing []failing `json:"failing,omitempty"`
}

type failing struct {
	Check string `json:"check"`
	Error string `json:"error"`
}

func (o *Ops) ready(w http.ResponseWriter, r *http.Request) {
	if o.draining.Load() {
		writeJSON(w, http.StatusServiceUnavailable, readiness{Status: "draining"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	status, answer := http.StatusOK, readiness{Status: "ready"}
	for _, check := range o.checks {
		err := check.Run(ctx)
		o.say(check.Name, err)
		if err != nil {
			status, answer.Status = http.StatusServiceUnavailable, "not ready"
			answer.Failing = append(answer.Failing, failing{Check: check.Name, Error: withoutAddresses(err.Error())})
		}
	}
	writeJSON(w, status, answer)
}

// say logs a check that begins to fail, with all of its error.
func (o *Ops) say(check string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil && !o.said[check] {
		o.log.Warn().Err(err).Str("check", check).Msg("the service is not ready")
	}
	o.said[check] = err != nil
}

// addresses are URLs, hosts with ports, and names that errors of the network and of
// PostgreSQL quote.
var addresses = regexp.MustCompile(`(?:[a-z]+://[^\s,]+,?)+[^\s,:]|(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?|\[[0-9A-Fa-f:.%]+\](?::\d+)?|` +
	`\b[A-Za-z][A-Za-z0-9.-]*:\d{2,5}\b|lookup [^\s:]+|(?:user|role|database) "[^"]*"`)

// withoutAddresses leaves out what a stranger could use: anybody who reaches the port
// may ask.
func withoutAddresses(text string) string {
	return addresses.ReplaceAllStringFunc(text, func(found string) string {
		if what, _, ok := strings.Cut(found, " "); ok {
			return what + " […]"
		}
		return "[…]"
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the asker is gone
}
