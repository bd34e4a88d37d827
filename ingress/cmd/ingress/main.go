// Command ingress accepts webhook requests: it authenticates them, and answers
// once JetStream has stored them. It needs only the broker, and starts without
// it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/ingress/server"
	"github.com/coinhook/coinhook/ingress/verify"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/proxies"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/service"
)

type settings struct {
	service.Common
	DeliveryKeys secret.DeliveryKeys `env:"DELIVERY_KEY" secret:"true" help:"32 bytes in base64 that sign each delivery, the same in all programs; several are separated by commas: the first one signs"`
	MasterKey    secret.MasterKey    `env:"COINHOOK_MASTER_KEY" secret:"true" help:"32 bytes in base64 that open the webhooks' signing secrets and passwords; several are separated by commas. Without it, webhooks with such a secret answer 503"`

	Addr                  service.Addr    `env:"INGRESS_ADDR" envDefault:":8080" help:"where webhook requests are taken"`
	MaxBodyBytes          int64           `env:"MAX_BODY_BYTES" envDefault:"524288" min:"1" max:"67108864" help:"the largest body; the broker's max_payload has to allow it"`
	MaxInFlight           int64           `env:"MAX_IN_FLIGHT" envDefault:"4096" min:"1" max:"1000000" help:"requests handled at a time; more are refused with 503"`
	MaxInFlightBytes      int64           `env:"MAX_IN_FLIGHT_BYTES" envDefault:"268435456" min:"1" max:"549755813888" help:"memory of the bodies of these requests; more are refused with 503"`
	InFlightShare         int64           `env:"IN_FLIGHT_SHARE" envDefault:"25" min:"1" max:"100" help:"the percentage of both that one webhook, and one client address, may hold; senders with a key may hold more while half is free"`
	MaxConnections        int64           `env:"MAX_CONNECTIONS" envDefault:"8192" min:"1" max:"1000000" help:"connections at a time; beyond it a new one displaces the oldest that has brought no accepted request"`
	MaxAddressConnections int64           `env:"MAX_CONNECTIONS_PER_ADDRESS" envDefault:"2048" min:"1" max:"1000000" help:"connections of one address, or of one IPv6 /64, that is not in TRUSTED_PROXIES"`
	PendingLimit          time.Duration   `env:"PENDING_LIMIT" envDefault:"1h" min:"1s" help:"how long a delivery may be pending before it counts as overdue and a warning is logged"`
	PublishTimeout        time.Duration   `env:"PUBLISH_TIMEOUT" envDefault:"5s" min:"100ms" max:"9s" help:"how long a sender waits for the broker"`
	ShutdownDelay         time.Duration   `env:"SHUTDOWN_DELAY" envDefault:"0s" min:"0s" max:"10m" help:"how long it still accepts requests after SIGTERM while /readyz says draining: longer than a proxy needs to notice"`
	TLSCert               string          `env:"TLS_CERT" help:"file of the certificate chain in PEM, read again when it changes; without it, plain HTTP"`
	TLSKey                string          `env:"TLS_KEY" help:"file of the private key of TLS_CERT"`
	TrustedProxies        proxies.Trusted `env:"TRUSTED_PROXIES" help:"networks of proxies whose X-Forwarded-For, -Proto and -Host are trusted, such as 10.0.0.0/8"`
	URL                   service.BaseURL `env:"INGRESS_URL" shown:"what the request and trusted proxies say" help:"the URL at which senders reach the ingress, such as https://hooks.example.com, because some sign it"`
}

func main() {
	service.Main("ingress", "takes webhook requests in and stores them in JetStream.", run)
}

func run(ctx context.Context, set settings, log zerolog.Logger) error {
	service.ReserveHeap(heapReserve)
	registry := service.NewRegistry()
	certificate, err := service.LoadCertificate(set.TLSCert, set.TLSKey, log)
	if err != nil {
		return err
	}
	conn, err := broker.Connect(broker.Options{
		URL: string(set.NATSURL), Files: set.NATSFiles, Role: broker.Ingress, Name: "coinhook ingress",
		DeliveryKeys: set.DeliveryKeys, Log: log, Metrics: registry,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	publisher := broker.NewPublisher(conn, broker.PublisherOptions{Deadline: set.PublishTimeout, Backpressure: true, Log: log, Metrics: registry})
	catalog := broker.NewCatalog(conn)
	service.ShowWebhookIDs(catalog.IsKeyed)
	monitor := broker.NewMonitor(conn, broker.MonitorOptions{Limit: set.PendingLimit, Log: log, Metrics: registry})
	rejections := ingress.NewRejections(broker.NewRejectionStore(conn, log), now)
	connections, addressConnections := connectionLimits(set, log)
	httpServer := server.New(server.Options{
		Receiver:              &ingress.Receiver{Definitions: catalog, Publisher: publisher, Secrets: verify.NewVault(set.MasterKey, sayUnopened(log)), NewID: delivery.NewID, Now: now, Rejections: rejections, Receipts: broker.NewReceipts(conn)},
		Log:                   log,
		Metrics:               registry,
		MaxBodyBytes:          set.MaxBodyBytes,
		MaxInFlight:           set.MaxInFlight,
		MaxInFlightBytes:      set.MaxInFlightBytes,
		SharePercent:          set.InFlightShare,
		MaxConnections:        connections,
		MaxAddressConnections: addressConnections,
		TrustedProxies:        set.TrustedProxies,
		URL:                   set.URL.URL,
		Certificate:           certificate,
		Timeouts:              server.Timeouts{Delay: set.ShutdownDelay},
	})
	ops, err := service.ListenOps(service.OpsOptions{
		Addr: set.OpsAddr, Gatherer: registry, Log: log,
		Checks: []service.Check{{Name: "nats", Run: conn.Ready}, {Name: "definitions", Run: catalog.Ready}, {Name: "delivery key", Run: conn.CheckDeliveryKey}},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", string(set.Addr))
	if err != nil {
		return errors.Join(fmt.Errorf("cannot listen on INGRESS_ADDR: %w", err), ops.Close())
	}

	// The group stops the last actor first: requests in flight still need the
	// publisher, and probes must see the drain.
	var group service.Group
	group.Add("ops", 2*time.Second, ops.Run)
	group.Add("definitions", time.Second, catalog.Run)
	group.Add("pending", 2*time.Second, monitor.Run)
	group.Add("publisher", set.PublishTimeout+time.Second, publisher.Run)
	group.Add("rejections", 3*time.Second, rejections.Run)
	group.Add("max payload", time.Second, checkPayload(conn, set.MaxBodyBytes))
	group.Add("http", set.ShutdownDelay+11*time.Second, func(ctx context.Context) error {
		context.AfterFunc(ctx, ops.Drain)
		// A request that comes first waits in the listener's queue. Without a broker
		// it gets its 503.
		catalog.Await(ctx, startWithin)
		return httpServer.Serve(ctx, listener)
	})
	return group.Run(ctx)
}

// heapReserve is an eighth of the memory that the ingress may take at full load.
const heapReserve = 16 << 20

// startWithin is how long the first requests may wait for the definitions.
const startWithin = 3 * time.Second

// sayUnopened logs which webhook answers 503 because of its secrets.
func sayUnopened(log zerolog.Logger) func(webhookID string, err error) {
	return func(webhookID string, err error) {
		log.Error().Err(err).Str("webhook_id", webhookID).Msg("the secrets of a webhook cannot be used: its requests are answered 503")
	}
}

func now() time.Time { return time.Now().UTC() }

// spareFiles are left for the broker's connection, the ops listener and the like.
const spareFiles = 64

// connectionLimits fits the limits to the files that the process may have open, so
// that a flood meets our own limit first: at the system's, nobody gets in.
func connectionLimits(set settings, log zerolog.Logger) (all, each int64) {
	all, each = set.MaxConnections, set.MaxAddressConnections
	if files, known := service.OpenFiles(); known && files < all+spareFiles {
		all = max(1, files-spareFiles)
		each = min(each, max(1, all/2))
		log.Warn().Int64("open_files", files).Int64("connections", all).
			Msg("the limit of open files is lower than MAX_CONNECTIONS needs: raise it (ulimit -n, LimitNOFILE, --ulimit nofile)")
	}
	return all, each
}

// checkPayload ends with an error once a broker turns up that would refuse the
// largest body.
func checkPayload(conn *broker.Conn, maxBodyBytes int64) func(context.Context) error {
	return func(ctx context.Context) error {
		unfit := make(chan error, 1)
		conn.OnConnect(func() {
			if err := conn.CheckPayload(int(maxBodyBytes)); err != nil {
				select {
				case unfit <- err:
				default: // one is enough
				}
			}
		})
		select {
		case err := <-unfit:
			return &service.SettingError{Variable: "MAX_BODY_BYTES", Value: strconv.FormatInt(maxBodyBytes, 10), Want: err.Error()}
		case <-ctx.Done():
			return nil
		}
	}
}
