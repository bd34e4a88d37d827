// Command applier settles deliveries: it maps payloads to changes and writes
// balances, logs and outcomes.
package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/cleaner"
	"github.com/coinhook/coinhook/applier/lateusers"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/service"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type settings struct {
	service.Common
	DatabaseURL string           `env:"DATABASE_URL,required" secret:"true" help:"the database, postgres://user:password@host:port/name"`
	MasterKey   secret.MasterKey `env:"COINHOOK_MASTER_KEY" secret:"true" help:"32 bytes in base64 that seal the webhooks' AES keys; encrypted deliveries stay pending without it"`
	// KeyRetention bounds the idempotency keys.
	KeyRetention time.Duration `env:"IDEMPOTENCY_RETENTION" envDefault:"720h" min:"1m" help:"how long a sender's idempotency keys are kept"`
}

func main() {
	service.Main("applier", "settles deliveries: maps payloads and updates balances", run)
}

func run(ctx context.Context, s settings, log zerolog.Logger) error {
	metrics := service.NewRegistry()
	store, err := postgres.Open(s.DatabaseURL, postgres.Options{Name: "coinhook-applier", Settling: true})
	if err != nil {
		return &service.SettingError{Variable: "DATABASE_URL", Want: err.Error()}
	}
	defer store.Close() //nolint:errcheck // all transactions have ended
	// Its statements are planned as they come, unlike those that settle.
	jobs, err := postgres.Open(s.DatabaseURL, postgres.Options{Name: "coinhook-applier-jobs", MaxConns: 2})
	if err != nil {
		return &service.SettingError{Variable: "DATABASE_URL", Want: err.Error()}
	}
	defer jobs.Close() //nolint:errcheck // nothing is under way
	conn, err := broker.Connect(broker.Options{URL: string(s.NATSURL), Name: "coinhook-applier", Log: log, Metrics: metrics})
	if err != nil {
		return &service.SettingError{Variable: "NATS_URL", Want: err.Error()}
	}
	defer conn.Close()

	catalog := broker.NewCatalog(conn)
	app := applier.New(catalog, store, evaluate(sealed.NewPayloads(s.MasterKey)), store, report.New(log, metrics))
	consumer := broker.NewConsumer(conn, app.Handle, broker.ConsumerOptions{Log: log, Metrics: metrics})
	publisher := broker.NewPublisher(conn, broker.PublisherOptions{Log: log, Metrics: metrics})
	late := lateusers.New(lateusers.Options{
		Store: jobs, Definitions: catalog, Publisher: publisher, Now: time.Now, Log: log, Metrics: metrics,
	})
	ops, err := service.ListenOps(service.OpsOptions{
		Addr: s.OpsAddr, Gatherer: metrics, Log: log,
		Checks: []service.Check{
			{Name: "nats", Run: conn.Ready},
			{Name: "definitions", Run: catalog.Ready},
			{Name: "postgres", Run: store.Ready},
		},
	})
	if err != nil {
		return err
	}
	var group service.Group
	group.Add("ops", time.Second, ops.Run)
	group.Add("definitions", time.Second, catalog.Run)
	group.Add("cleaner", 2*time.Second, cleaner.New(store, s.KeyRetention, log).Run)
	group.Add("publisher", 6*time.Second, publisher.Run)
	group.Add("late users", 2*time.Second, late.Run)
	group.Add("consumer", 8*time.Second, consumer.Run)
	log.Info().Str("ops_addr", ops.Addr()).Msg("applier started")
	defer log.Info().Msg("applier stopped")
	return group.Run(ctx)
}

// evaluate decrypts a body and then maps the payload.
func evaluate(payloads *sealed.Payloads) applier.Evaluate {
	return func(w *webhook.Webhook, d *delivery.Delivery, c *applier.Community) (applier.Plan, *delivery.Failure, error) {
		payload, failure, err := payloads.Open(w, d)
		if failure != nil || err != nil {
			return applier.Plan{}, failure, err
		}
		plan, failure := mapping.Evaluate(w, payload, d.Header, c)
		return plan, failure, nil
	}
}
