// Command applier settles deliveries: it maps payloads to changes and writes
// balances, logs and outcomes.
package main

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/engine"
	"github.com/coinhook/coinhook/applier/engine/owner"
	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/jobs/clocks"
	"github.com/coinhook/coinhook/applier/jobs/lateusers"
	"github.com/coinhook/coinhook/applier/jobs/retention"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/service"
)

type settings struct {
	service.Common
	DatabaseURL  string              `env:"DATABASE_URL,required" secret:"true" help:"the database, postgres://user:password@host:port/name; with standbys host1:port,host2:port"`
	MasterKey    secret.MasterKey    `env:"COINHOOK_MASTER_KEY" secret:"true" help:"32 bytes in base64 that seal the webhooks' AES keys; several are separated by commas: the first one seals, all open. Without it, encrypted deliveries stay pending"`
	DeliveryKeys secret.DeliveryKeys `env:"DELIVERY_KEY" secret:"true" help:"32 bytes in base64 that sign each delivery, the same in all programs; several are separated by commas: the first one signs. Without it nothing is checked"`
	// KeyRetention bounds the idempotency keys.
	KeyRetention time.Duration `env:"IDEMPOTENCY_RETENTION" envDefault:"720h" min:"1m" help:"how long idempotency keys are kept; those of dead letters are kept as long as the dead letters"`
	// StreamRetention and HistoryRetention bound what is kept of old deliveries.
	StreamRetention  time.Duration `env:"STREAM_RETENTION" envDefault:"0s" min:"0s" help:"how long settled deliveries stay in the stream, for the audit, repair and backtests; 0s keeps them forever"`
	HistoryRetention time.Duration `env:"HISTORY_RETENTION" envDefault:"0s" min:"0s" help:"how long histories and gamification logs are kept, longer than STREAM_RETENTION; 0s keeps them forever"`
	// Lanes is how many transactions settle at a time.
	Lanes         int           `env:"SETTLING_LANES" envDefault:"2" min:"1" help:"how many transactions of one community settle at a time while no other has deliveries, each on its own connection to PostgreSQL; otherwise a quarter of it, at least two"`
	AuditInterval time.Duration `env:"AUDIT_INTERVAL" envDefault:"10m" min:"1s" help:"the pause between two checks of the whole ledger, each made in small steps by one applier"`
	PendingLimit  time.Duration `env:"PENDING_LIMIT" envDefault:"1h" min:"1s" help:"how long a delivery may be pending before it counts as overdue and a warning is logged"`
}

func main() {
	service.Main("applier", "settles deliveries: maps payloads and updates balances", run)
}

func run(ctx context.Context, s settings, log zerolog.Logger) error {
	if err := s.check(); err != nil {
		return err
	}
	// Its heap is small, and would be collected many times a second.
	service.ReserveHeap(heapReserve)
	metrics := service.NewRegistry()
	store, err := postgres.Open(s.DatabaseURL, postgres.Options{Name: "coinhook-applier", Settling: true, MaxConns: s.Lanes + 4})
	if err != nil {
		return &service.SettingError{Variable: "DATABASE_URL", Want: err.Error()}
	}
	defer store.Close() // all transactions have ended
	// Its statements are planned as they come, unlike those that settle.
	jobStore, err := postgres.Open(s.DatabaseURL, postgres.Options{Name: "coinhook-applier-jobs", MaxConns: 6})
	if err != nil {
		return &service.SettingError{Variable: "DATABASE_URL", Want: err.Error()}
	}
	defer jobStore.Close() // nothing is in flight
	// Leases are renewed in time, whatever the others do.
	leases, err := postgres.Open(s.DatabaseURL, postgres.Options{Name: "coinhook-applier-leases", MaxConns: 3, StatementTimeout: 2 * time.Second})
	if err != nil {
		return &service.SettingError{Variable: "DATABASE_URL", Want: err.Error()}
	}
	defer leases.Close() // nothing is in flight
	// Statements over many rows take longer while the database is busy.
	audits, err := postgres.Open(s.DatabaseURL, postgres.Options{Name: "coinhook-applier-audit", StatementTimeout: 5 * time.Minute})
	if err != nil {
		return &service.SettingError{Variable: "DATABASE_URL", Want: err.Error()}
	}
	defer audits.Close() // nothing is in flight
	conn, err := broker.Connect(broker.Options{
		URL: string(s.NATSURL), Files: s.NATSFiles, Role: broker.Applier, Name: "coinhook-applier",
		DeliveryKeys: s.DeliveryKeys, Log: log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if s.DeliveryKeys.IsZero() {
		log.Warn().Msg("DELIVERY_KEY is not set: everybody who can publish to NATS can change balances, see docs/operate/delivery-keys.md")
	}

	catalog := broker.NewCatalog(conn)
	service.ShowWebhookIDs(catalog.IsKeyed)
	reporter := report.New(log, metrics)
	app := applier.New(catalog, store, sealed.NewPayloads(s.MasterKey).Evaluate, store, reporter)
	settling := engine.New(engine.Options{
		Conn: conn, Applier: app, Definitions: catalog, Store: store, Report: reporter, Lanes: s.Lanes, Log: log, Metrics: metrics,
	})
	owning := owner.New(owner.Options{
		// Two containers may have the same host name and process id.
		Store: leases, Engine: settling, Broker: conn, Report: reporter, Name: instance() + "-" + delivery.NewID().String()[28:], Log: log, Metrics: metrics,
	})
	monitor := broker.NewMonitor(conn, broker.MonitorOptions{Limit: s.PendingLimit, Log: log, Metrics: metrics})
	publisher := broker.NewPublisher(conn, broker.PublisherOptions{Log: log, Metrics: metrics})
	load := broker.Load{Pending: pendingOf(conn)}
	late := lateusers.New(lateusers.Options{
		Store: jobStore, Definitions: catalog, Publisher: publisher, KeyRetention: s.KeyRetention, Behind: load.Behind, Now: time.Now, Log: log, Metrics: metrics,
	})
	watch := audit.NewWatch(audit.WatchOptions{Store: audits, Conn: conn, LedgerEvery: s.AuditInterval, Behind: load.Behind, Log: log, Metrics: metrics})
	allClocks := clocks.New(map[string]clocks.Clock{
		"postgresql": jobStore.Now, "broker": brokerClock(conn), "applier": clocks.Own,
	}, log, metrics)
	remover := retention.New(retention.Options{
		Store: jobStore, Conn: conn, Stream: s.StreamRetention, History: s.HistoryRetention, Clocks: allClocks, Behind: load.Behind, Log: log, Metrics: metrics,
	})
	receipts := history.NewReceipts(jobStore, conn.OpenStream)
	counter := report.NewParkedCounter(report.ParkedCounter{Store: jobStore, Behind: load.Behind, Log: log}, metrics)
	ops, err := service.ListenOps(service.OpsOptions{
		Addr: s.OpsAddr, Gatherer: metrics, Log: log,
		Checks: []service.Check{
			{Name: "nats", Run: conn.Ready},
			{Name: "definitions", Run: catalog.Ready},
			{Name: "postgres", Run: store.Ready},
			{Name: "settling", Run: monitor.Settles},
			{Name: "outcomes", Run: app.Ready},
		},
	})
	if err != nil {
		return err
	}
	var group service.Group
	group.Add("ops", time.Second, ops.Run)
	group.Add("definitions", time.Second, catalog.Run)
	group.Add("pending", 2*time.Second, monitor.Run)
	group.Add("troubles", 2*time.Second, func(ctx context.Context) error {
		return reporter.Publish(ctx, conn.Notice(instance()))
	})
	group.Add("cleaner", 2*time.Second, jobs.CleanKeys(store, allClocks, s.KeyRetention, log).Run)
	group.Add("publisher", 6*time.Second, publisher.Run)
	group.Add("late users", 2*time.Second, late.Run)
	group.Add("audit", 2*time.Second, watch.Run)
	group.Add("parked", 2*time.Second, counter.Run)
	group.Add("counts", 2*time.Second, jobs.CountDeliveries(jobStore, log).Run)
	group.Add("receipts", 3*time.Second, func(ctx context.Context) error { return conn.ServeReceipts(ctx, receipts.JSON) })
	group.Add("retention", 2*time.Second, remover.Run)
	group.Add("settling", 8*time.Second, func(ctx context.Context) error {
		context.AfterFunc(ctx, ops.Drain)
		awaitSchema(ctx, store, log)
		return settle(ctx, settling, owning)
	})
	log.Info().Str("ops_addr", ops.Addr()).Msg("applier started")
	defer log.Info().Msg("applier stopped")
	return group.Run(ctx)
}

// settle owns partitions and settles them until ctx is done. The engine runs until all
// are handed over.
func settle(ctx context.Context, settling *engine.Engine, owning *owner.Owner) error {
	g, running := errgroup.WithContext(context.WithoutCancel(ctx))
	settlingCtx, stop := context.WithCancel(running)
	g.Go(func() error { return settling.Run(settlingCtx) })
	g.Go(func() error {
		defer stop()
		owned, end := context.WithCancel(running)
		defer end()
		defer context.AfterFunc(ctx, end)()
		return owning.Run(owned)
	})
	return g.Wait()
}

// check refuses retentions under which nothing would ever be removed.
func (s settings) check() error {
	if s.HistoryRetention > 0 && (s.StreamRetention == 0 || s.HistoryRetention <= s.StreamRetention) {
		return &service.SettingError{
			Variable: "HISTORY_RETENTION",
			Want:     "want more than STREAM_RETENTION, which must be set, too: an outcome is kept for as long as the stream has its delivery",
		}
	}
	return nil
}

// awaitSchema returns once the tables fit this program, or cannot be read. It pulls
// no delivery before, because other appliers may fit.
func awaitSchema(ctx context.Context, store *postgres.Store, log zerolog.Logger) {
	for warned := false; ctx.Err() == nil; warned = true {
		state, err := store.SchemaState(ctx)
		if err != nil || state.Err() == nil {
			return
		}
		if !warned {
			log.Error().Err(state.Err()).Msg("this applier takes no deliveries")
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// instance names this process among all appliers.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "applier"
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}

// brokerClock tells the broker's time.
func brokerClock(conn *broker.Conn) clocks.Clock {
	return func(ctx context.Context) (time.Time, error) {
		pending, err := pendingOf(conn)(ctx)
		return pending.At, err
	}
}

// pendingOf says what is pending, by a stream that is opened each time: the broker may
// be away when the program starts.
func pendingOf(conn *broker.Conn) func(context.Context) (broker.Pending, error) {
	return func(ctx context.Context) (broker.Pending, error) {
		stream, err := conn.OpenStream(ctx)
		if err != nil {
			return broker.Pending{}, err
		}
		return stream.Pending(ctx)
	}
}

// heapReserve lets a small heap grow, within the 60 MB that an applier may take.
const heapReserve = 8 << 20
