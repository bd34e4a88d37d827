// Package api is the read API: a community's deliveries, logs and users, for
// programs with a bearer token. It changes nothing.
//
// Every answer but the description has one of two envelopes:
//
//	{"status":"success","message":…,"data":…}
//	{"status":"error","message":…,"code":…}
package api

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/proxies"
)

// Options are the services that answer.
type Options struct {
	Tokens     *access.Tokens
	Trail      *access.Trail
	Deliveries *history.History
	Logs       *history.Logs
	Users      *users.Service
	Webhooks   *webhooks.Service
	Now        func() time.Time
	Log        zerolog.Logger
	// PerSecond and Burst bound the requests of one token; 20 and 50 if zero.
	PerSecond, Burst int
	// Address is that of the client.
	Address func(*http.Request) string
}

type server struct {
	Options
	mux       *http.ServeMux
	limits    *limits
	strangers *strangers
	searches  searches
}

//go:embed openapi.json
var description []byte

// New returns the handler of /apis/ and /openapi.json. It authenticates by
// itself: no session or form protection belongs before it.
func New(opts Options) http.Handler {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.PerSecond == 0 {
		opts.PerSecond, opts.Burst = 20, 50
	}
	s := &server{Options: opts, mux: http.NewServeMux(), limits: &limits{perSecond: opts.PerSecond, burst: opts.Burst}, strangers: newStrangers(opts.Now), searches: make(searches, searchPlaces)}
	s.mux.HandleFunc("/", s.noRoute)
	s.mux.HandleFunc("GET /openapi.json", describe)
	for pattern, h := range s.routes() {
		s.mux.Handle(pattern, s.authenticated(h))
	}
	return s
}

// ServeHTTP answers a request, and turns a panic into an error that is logged.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			s.writeError(w, r, "", fmt.Errorf("a handler panicked, this is a bug: %v\n%s", v, debug.Stack()))
		}
	}()
	s.mux.ServeHTTP(w, r)
}

func (s *server) routes() map[string]handler {
	return map[string]handler{
		"GET /apis/v1/deliveries":            s.listDeliveries,
		"GET /apis/v1/deliveries/{id}":       s.showDelivery,
		"GET /apis/v1/logs":                  s.listLogs,
		"GET /apis/v1/users":                 s.listUsers,
		"GET /apis/v1/users/{user}":          s.showUser,
		"POST /apis/v1/users/activity/daily": s.dailyActivity,
		"POST /apis/v1/users/info":           s.userInfo,
	}
}

// handler answers a request about a community. An error that is no *failure is
// one of ours.
type handler func(ctx context.Context, community string, r *http.Request) (answer, error)

// answer is what is said when all went well.
type answer struct {
	message string
	data    any
}

// authenticated lets requests with a token through, each as a viewer of its community:
// the services show what is in that one, and nothing else.
func (s *server) authenticated(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a answer
		token, err := s.authenticate(r)
		if err == nil && !s.limits.allow(token.ID) {
			err = errRateLimited
		}
		if err == nil {
			r = r.WithContext(admin.WithActor(r.Context(), s.actor(r, token), admin.Viewer))
			a, err = h(r.Context(), token.Community, r)
		}
		if err != nil {
			s.writeError(w, r, token.Name, err)
			return
		}
		writeJSON(w, http.StatusOK, envelope{Status: "success", Message: a.message, Data: a.data}, s.Webhooks.Hidden(r.Context()))
	})
}

// actor is who shows a token: a viewer of its community.
func (s *server) actor(r *http.Request, token admin.Token) admin.Actor {
	return admin.Actor{Via: admin.ViaAPI, Who: token.Name, Address: s.Address(r), Grants: admin.Grants{token.Community: admin.Viewer}}
}

func (s *server) authenticate(r *http.Request) (admin.Token, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return admin.Token{}, errNoToken
	}
	text = strings.TrimSpace(text)
	id, network := access.TokenID(text), proxies.Network(s.Address(r))
	if !s.limits.knows(id) && !s.strangers.mayTry(network) {
		s.recordRefused(r, admin.Token{})
		return admin.Token{}, errStrangers
	}
	token, err := s.Tokens.Authenticate(r.Context(), text)
	if errors.Is(err, access.ErrTokenInvalid) {
		s.limits.forget(id)
		s.strangers.failed(network)
		s.recordRefused(r, token)
		return admin.Token{}, errInvalidToken
	}
	if err != nil {
		return admin.Token{}, &failure{code: unavailable, message: "The token cannot be checked now. Try again later.", err: err}
	}
	return token, nil
}

// recordRefused records a token that is refused, with its name if it worked once.
func (s *server) recordRefused(r *http.Request, token admin.Token) {
	address := s.Address(r)
	why := map[string]any{"why": "unknown"}
	if token.State != "" {
		why = map[string]any{"why": token.State, "community": token.Community}
	}
	err := s.Trail.Refused(r.Context(), admin.Actor{Via: admin.ViaAPI, Address: address}, "token refused", "token", token.Name, why)
	if err != nil {
		s.Log.Error().Err(err).Str("address", address).Msg("a token was refused: the audit trail could not be written")
	}
}

// noRoute answers what no route takes.
func (s *server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := s.mux.Handler(probe); strings.HasPrefix(pattern, method+" ") {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		s.writeError(w, r, "", failf(notFound, "Nothing is here. /openapi.json says what there is."))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	s.writeError(w, r, "", failf(methodNotAllowed, "This takes %s.", strings.Join(allowed, " or ")))
}

func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(description) // the client is gone
}
