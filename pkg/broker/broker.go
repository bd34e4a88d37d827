// Package broker keeps deliveries, samples and definitions in NATS JetStream.
// It is the only importer of nats.go.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/service"
)

// Options say which broker to use, and who asks.
type Options struct {
	URL   string
	Files service.NATSFiles
	Role  Role // Admin where it is empty
	// Name is shown by the broker's own tools.
	Name string
	// DeliveryKeys sign published deliveries and check deliveries of the stream. Without
	// any, deliveries are neither signed nor checked.
	DeliveryKeys secret.DeliveryKeys
	Log          zerolog.Logger
	Metrics      prometheus.Registerer // nil for none
}

// Conn is a connection that never gives up: while the broker is down it retries.
type Conn struct {
	nc         *nats.Conn
	js         jetstream.JetStream
	log        zerolog.Logger
	objections *objections
	role       Role

	deliveryKeys secret.DeliveryKeys

	// lostAt is when the connection was lost, in Unix nanoseconds; 0 while
	// connected.
	lostAt  atomic.Int64
	closing atomic.Bool
	ended   chan struct{} // closed with the connection

	mu        sync.Mutex
	onConnect []func()
}

// ErrNotConnected is returned while the broker is down.
var ErrNotConnected = errors.New("not connected to NATS")

// Connect returns at once, even if the broker is down or refuses. An error is a
// *service.SettingError: the options cannot work.
func Connect(opts Options) (*Conn, error) {
	c := &Conn{log: opts.Log, role: opts.Role, ended: make(chan struct{}), deliveryKeys: opts.DeliveryKeys, objections: &objections{log: opts.Log, refused: make(chan struct{})}}
	c.lostAt.Store(time.Now().UnixNano())
	access, err := opts.access()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(opts.URL, append(access, c.behaviour(opts.Name)...)...)
	if err != nil {
		return nil, &service.SettingError{Variable: "NATS_URL", Want: err.Error()}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	c.nc, c.js = nc, js
	if nc.IsConnected() {
		c.lostAt.Store(0)
	}
	if opts.Log.GetLevel() != zerolog.Disabled {
		go reportAbsence(opts.Log, opts.URL, c.awayFor, func() error { return cmp.Or(c.refusal(), nc.LastError()) }, c.ended)
	}
	if opts.Metrics != nil {
		opts.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coinhook_broker_connected",
			Help: "1 while connected to NATS, else 0.",
		}, func() float64 {
			if c.Connected() {
				return 1
			}
			return 0
		}))
	}
	return c, nil
}

// behaviour returns the options of a client that never gives up.
func (c *Conn) behaviour(name string) []nats.Option {
	var client atomic.Pointer[nats.Conn]
	return []nats.Option{
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		// Credentials that are refused may be known later: the client would give up.
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(func(int) time.Duration {
			// No handler is told of a first connect that is refused.
			if nc := client.Load(); nc != nil {
				c.objections.noteRefusal(nc.LastError())
			}
			return reconnectWait + rand.N(reconnectJitter)
		}),
		// A publish that waits in a buffer would be stored after its sender got a 503.
		nats.ReconnectBufSize(-1),
		// The default would notice a half-open connection after four minutes.
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { c.connected("connected to NATS") }),
		nats.ReconnectHandler(func(*nats.Conn) { c.connected("connected to NATS again") }),
		nats.ReconnectErrHandler(func(nc *nats.Conn, err error) {
			client.Store(nc)
			c.objections.noteRefusal(err)
		}),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			client.Store(nc)
			c.lostAt.CompareAndSwap(0, time.Now().UnixNano())
			if !c.closing.Load() {
				c.log.Warn().Err(err).Msg("lost the connection to NATS, trying again")
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			switch {
			case errors.Is(err, nats.ErrPermissionViolation):
				c.objections.noteViolation(err)
			case refusalOf(err) != nil:
				c.objections.noteRefusal(err)
			default:
				c.log.Warn().Err(err).Msg("NATS reported an error")
			}
		}),
	}
}

const (
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 250 * time.Millisecond
)

func (c *Conn) connected(msg string) {
	c.lostAt.Store(0)
	c.objections.clearRefusal()
	c.log.Info().Msg(msg)
	c.mu.Lock()
	hooks := append([]func(){}, c.onConnect...)
	c.mu.Unlock()
	for _, f := range hooks {
		f()
	}
}

// OnConnect calls f after each connect, and at once if connected. f must not
// block.
func (c *Conn) OnConnect(f func()) {
	c.mu.Lock()
	c.onConnect = append(c.onConnect, f)
	c.mu.Unlock()
	if c.Connected() {
		f()
	}
}

// Connected reports whether the broker is connected now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// awayFor returns how long the broker has been away, 0 while connected.
func (c *Conn) awayFor() time.Duration {
	lost := c.lostAt.Load()
	if lost == 0 || c.Connected() {
		return 0
	}
	return time.Since(time.Unix(0, lost))
}

// WaitConnected waits until the broker is connected.
func (c *Conn) WaitConnected(ctx context.Context) error {
	if c.Connected() {
		return nil
	}
	here := c.nc.StatusChanged(nats.CONNECTED)
	defer c.nc.RemoveStatusListener(here)
	for !c.Connected() {
		select {
		case <-here:
		case <-ctx.Done():
			if refusal := c.refusal(); refusal != nil {
				return refusal
			}
			return fmt.Errorf("%w: %w", ErrNotConnected, context.Cause(ctx))
		}
	}
	return nil
}

// whileConnected returns a context that ends with ctx, and when the connection
// is lost.
func (c *Conn) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	status := c.nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	go func() {
		defer c.nc.RemoveStatusListener(status)
		select {
		case <-status:
			cancel(ErrNotConnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Ready reports whether the broker is connected and set up.
func (c *Conn) Ready(ctx context.Context) error {
	if !c.Connected() {
		return cmp.Or(c.refusal(), ErrNotConnected)
	}
	if _, err := c.js.StreamNameBySubject(ctx, deliveriesSubject); err != nil {
		return errors.Join(notSetUp(err), c.Objection())
	}
	return nil
}

// CheckPayload reports an error when the connected broker takes no message that
// carries a body of that size. It returns nil while the broker is down.
func (c *Conn) CheckPayload(bytes int) error {
	if !c.Connected() {
		return nil
	}
	limit := min(c.nc.MaxPayload(), maxMessageBytes)
	if need := int64(bytes) + messageOverheadBytes; need > limit {
		return fmt.Errorf("a body of %d bytes needs a message of %d, and NATS takes %d: lower MAX_BODY_BYTES or raise the server's max_payload", bytes, need, limit)
	}
	return nil
}

// Close sends what is buffered and closes the connection.
func (c *Conn) Close() {
	if !c.closing.Swap(true) {
		close(c.ended)
	}
	closed := make(chan struct{})
	c.nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	if err := c.nc.Drain(); err != nil {
		c.nc.Close()
		return
	}
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		c.nc.Close()
	}
}

const (
	askFor     = 5 * time.Second
	answerSoon = 500 * time.Millisecond
	// electionWithin is how long the servers of a consumer may take to notice that its
	// leader has ended, and to elect another one. They wait for up to 9 seconds before
	// they stand for election, and one that fails takes as long again.
	electionWithin = 20 * time.Second
)

// patiently asks again if no answer comes. A broker that is starting loses requests,
// so a long wait for one answer would be useless.
func patiently[T any](ctx context.Context, askFor time.Duration, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	for wait := answerSoon; ; wait = min(2*wait, maxWait) {
		attempt, stop := context.WithTimeout(ctx, wait)
		answer, err := ask(attempt)
		stop()
		silent := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
		if silent && ctx.Err() != nil {
			return answer, fmt.Errorf("%w: %w", ErrSilent, err)
		}
		if !silent {
			return answer, err
		}
	}
}

// deliveries opens the stream of deliveries.
func (c *Conn) deliveries(ctx context.Context) (jetstream.Stream, error) {
	return patiently(ctx, askFor, func(ctx context.Context) (jetstream.Stream, error) { return c.js.Stream(ctx, deliveriesStream) })
}

// bucket opens the bucket of definitions.
func (c *Conn) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	return patiently(ctx, askFor, func(ctx context.Context) (jetstream.KeyValue, error) { return c.js.KeyValue(ctx, webhooksBucket) })
}

// ErrNoLeader is returned while the servers of a cluster elect who leads. It
// passes.
var ErrNoLeader = errors.New("NATS has no leader for the stream now")

// ErrSilent: NATS did not answer in time. It passes.
var ErrSilent = errors.New("NATS does not answer, its servers may be electing a leader, try again")

// NameAway has an error that IsAway say so in words: of some, the client says only that a
// time has passed.
func NameAway(err error) error {
	for _, says := range []error{ErrNotConnected, ErrNoLeader, ErrSilent} {
		if errors.Is(err, says) {
			return err
		}
	}
	if !IsAway(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSilent, err)
}

// IsAway reports whether an error says that NATS does not answer now. It passes.
func IsAway(err error) bool {
	for _, away := range []error{
		ErrNotConnected, ErrNoLeader, context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed,
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, away) {
			return true
		}
	}
	return false
}

// notSetUp turns "no such stream" and its relatives into what to do about it.
func notSetUp(err error) error {
	for _, missing := range []error{jetstream.ErrStreamNotFound, jetstream.ErrConsumerNotFound, jetstream.ErrBucketNotFound} {
		if errors.Is(err, missing) {
			return fmt.Errorf("the streams are not set up, run `coinhook setup`: %w", err)
		}
	}
	return noLeader(err)
}

// The server's errors while no server leads.
const (
	clusterNotAvailable jetstream.ErrorCode = 10008 // JSClusterNotAvailErr
	clusterNotLeader    jetstream.ErrorCode = 10009 // JSClusterNotLeaderErr
)

// noLeader tells errors that an election causes. Nobody answers for a stream that
// has no leader, nor for one that is not there: ask explain which it is.
func noLeader(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, ErrNoLeader):
		return err
	case errors.As(err, &api) && (api.ErrorCode == clusterNotAvailable || api.ErrorCode == clusterNotLeader),
		errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return err
}

// explain tells a stream without a leader from one that is not there.
func (c *Conn) explain(ctx context.Context, stream string, err error) error {
	if err = notSetUp(err); !errors.Is(err, ErrNoLeader) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerSoon)
	defer cancel()
	if _, asked := c.js.Stream(ctx, stream); errors.Is(asked, jetstream.ErrStreamNotFound) {
		return notSetUp(asked)
	}
	return err
}
