package broker

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/service"
)

// Role is what a program does with the broker. Each has a NATS user of its own, with
// the permissions of pkg/broker/permissions.
type Role string

// The roles. Admin is the command's, and the only one that makes streams.
const (
	Admin   Role = "admin"
	Ingress Role = "ingress"
	Applier Role = "applier"
	Console Role = "console"
)

// inboxPrefix begins the subjects of answers. A service reads its own alone: those of
// others carry deliveries.
func (r Role) inboxPrefix() string {
	if r == "" || r == Admin {
		return strings.TrimSuffix(nats.InboxPrefix, ".")
	}
	return nats.InboxPrefix + string(r)
}

// access returns the options of the client by which the broker knows who connects.
func (o Options) access() ([]nats.Option, error) {
	files := o.Files
	switch {
	case (files.Cert == "") != (files.Key == ""):
		return nil, &service.SettingError{Variable: "NATS_CERT", Want: "NATS_CERT and NATS_KEY go together: set both"}
	case files.Creds != "" && files.Nkey != "":
		return nil, &service.SettingError{Variable: "NATS_CREDS", Want: "NATS_NKEY is set, too: want one of them"}
	}
	all := []nats.Option{nats.CustomInboxPrefix(o.Role.inboxPrefix())}
	for _, x := range []struct {
		variable, path string
		option         func(path string) (nats.Option, error)
	}{
		{"NATS_CREDS", files.Creds, credentials},
		{"NATS_NKEY", files.Nkey, nats.NkeyOptionFromSeed},
		{"NATS_CA", files.CA, func(path string) (nats.Option, error) { return nats.RootCAs(path), nil }},
		{"NATS_CERT", files.Cert, func(path string) (nats.Option, error) { return nats.ClientCert(path, files.Key), nil }},
	} {
		if x.path == "" {
			continue
		}
		option, err := x.option(x.path)
		if err == nil { // the client says here what it cannot use
			err = option(&nats.Options{})
		}
		if err != nil {
			return nil, &service.SettingError{Variable: x.variable, Value: x.path, Want: err.Error()}
		}
		all = append(all, option)
	}
	return all, nil
}

// credentials is nats.UserCredentials for a file that has both parts. The client reads
// it at each connect, so that a new one is used without a restart.
func credentials(path string) (nats.Option, error) {
	option := nats.UserCredentials(path)
	var opts nats.Options
	if err := option(&opts); err != nil {
		return nil, err
	}
	token, err := opts.UserJWT()
	if err == nil && strings.Count(token, ".") != 2 {
		err = errors.New("the file has no JWT")
	}
	if err != nil {
		return nil, fmt.Errorf("no credentials: %w", err)
	}
	if _, err := opts.SignatureCB([]byte("nonce")); err != nil {
		return nil, fmt.Errorf("no credentials: %w", err)
	}
	return option, nil
}

// ErrRefused says that the broker answers but refuses this program, or is not the
// one that this program trusts.
var ErrRefused = errors.New("NATS refuses the connection")

// refusalOf explains an error of a connect, nil where nobody has refused anything.
func refusalOf(err error) error {
	for _, refused := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refused) {
			return fmt.Errorf("%w: %w: check the user and password in NATS_URL, or NATS_CREDS or NATS_NKEY", ErrRefused, err)
		}
	}
	remote, isNet := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("%w: %w: the server has no TLS, and NATS_URL, NATS_CA or NATS_CERT asks for it", ErrRefused, err)
	case errors.Is(err, nats.ErrTLS) || isNet && remote.Op == "remote error": // an alert of TLS
		return fmt.Errorf("%w: %w: see NATS_CA, NATS_CERT and NATS_KEY", ErrRefused, err)
	}
	return nil
}

// sample lets one line through in a while.
type sample struct {
	mu   sync.Mutex
	next time.Time
	left int // lines that were left out since
}

// complainEvery is the least time between two lines of one sample.
const complainEvery = 10 * time.Second

// take reports whether the line may be logged, and how many were left out before it.
func (s *sample) take(now time.Time) (leftOut int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.left++
		return 0, false
	}
	leftOut, s.left, s.next = s.left, 0, now.Add(complainEvery)
	return leftOut, true
}

// objections are what the broker has against this program.
type objections struct {
	log zerolog.Logger

	mu        sync.Mutex
	refusal   error         // nil while connected
	refused   chan struct{} // closed by the first refusal
	violation error         // the last one

	refusals, violations sample
}

// noteRefusal records a connect that has failed.
func (o *objections) noteRefusal(err error) {
	refusal := refusalOf(err)
	if refusal == nil {
		return
	}
	o.mu.Lock()
	o.refusal = refusal
	select {
	case <-o.refused:
	default:
		close(o.refused)
	}
	o.mu.Unlock()
	if _, ok := o.refusals.take(time.Now()); ok {
		o.log.Error().Err(refusal).Msg("cannot connect to NATS, trying again")
	}
}

// noteViolation records that the broker did not permit something.
func (o *objections) noteViolation(err error) {
	o.mu.Lock()
	o.violation = err
	o.mu.Unlock()
	if leftOut, ok := o.violations.take(time.Now()); ok {
		o.log.Error().Err(err).Int("more", leftOut).Msg("the NATS user lacks a permission that Coinhook needs")
	}
}

func (o *objections) clearRefusal() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refusal = nil
}

// Objection returns why the broker does not let this program do its work: it refuses
// the connection, or did not permit something. It is nil where it has not.
func (c *Conn) Objection() error {
	if refusal := c.refusal(); refusal != nil {
		return refusal
	}
	o := c.objections
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.violation != nil {
		return fmt.Errorf("the NATS user lacks a permission: %w", o.violation)
	}
	return nil
}

// refusal returns why the broker refuses the connection, nil where it does not.
func (c *Conn) refusal() error {
	if c.Connected() { // the handler that forgets the refusal comes later
		return nil
	}
	o := c.objections
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refusal
}

// Refused is closed once the broker has refused a connection.
func (c *Conn) Refused() <-chan struct{} { return c.objections.refused }
