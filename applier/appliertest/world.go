// Package appliertest is the world of an applier in tests: a real broker and a real
// database, with helpers to save webhooks and users, to send deliveries and to wait.
package appliertest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Options say how a world differs from the usual one.
type Options struct {
	Store postgres.Options
	// Role is the program that connects to the broker; empty is the admin.
	Role broker.Role
	// Keys sign and check deliveries.
	Keys secret.DeliveryKeys
	// Partitions has their generation written into the database; 0 is the usual number,
	// of which the database does not know.
	Partitions int
}

// World is a broker that is set up, and a database with all tables. A package that uses
// it calls postgrestest.Main from TestMain.
type World struct {
	tb     testing.TB
	Server *brokertest.Server
	Conn   *broker.Conn
	URL    string // of the database
	Store  *postgres.Store
	DB     *sql.DB // the same database, to look and meddle
}

// New makes a world that goes with the test.
func New(tb testing.TB, opts Options) *World {
	tb.Helper()
	w := &World{tb: tb, Server: brokertest.Start(tb), URL: postgrestest.URL(tb)}
	w.Store, w.DB = postgrestest.OpenURL(tb, w.URL, opts.Store)
	if opts.Partitions == 0 {
		w.Conn = w.Server.ConnectSetUp()
	} else {
		w.Conn = w.Server.ConnectWith(opts.Keys)
		w.SetUp(opts.Partitions)
	}
	if opts.Role != "" {
		w.Conn = w.Server.ConnectAs(opts.Role)
	}
	return w
}

// SetUp sets the broker and the database up with this many partitions.
func (w *World) SetUp(partitions int) {
	w.tb.Helper()
	if err := w.Conn.Setup(w.tb.Context(), broker.Topology{Partitions: partitions, Table: w.Store}); err != nil {
		w.tb.Fatal(err)
	}
}

// Exec runs a statement.
func (w *World) Exec(statement string, args ...any) {
	w.tb.Helper()
	if _, err := w.DB.ExecContext(w.tb.Context(), statement, args...); err != nil {
		w.tb.Fatal(err)
	}
}

// Number is the one that a query brings.
func (w *World) Number(query string, args ...any) (n int) {
	w.tb.Helper()
	if err := w.DB.QueryRowContext(w.tb.Context(), query, args...).Scan(&n); err != nil {
		w.tb.Fatal(err)
	}
	return n
}

// AddUsers adds users by their emails.
func (w *World) AddUsers(community string, emails ...string) {
	w.tb.Helper()
	users := make([]postgres.NewUser, len(emails))
	for i, email := range emails {
		users[i].Email = email
	}
	if _, err := w.Store.ImportUsers(w.tb.Context(), community, users); err != nil {
		w.tb.Fatal(err)
	}
}

// Parse reads a definition.
func Parse(tb testing.TB, definition string) webhook.Definition {
	tb.Helper()
	def, err := webhook.Parse([]byte(definition))
	if err != nil {
		tb.Fatal(err)
	}
	return def
}

// Save saves a new webhook.
func (w *World) Save(definition string) broker.Saved {
	w.tb.Helper()
	rec := webhook.Record{ID: webhook.NewID(), Definition: Parse(w.tb, definition)}
	saved, err := broker.NewDefinitions(w.Conn).Create(w.tb.Context(), rec, time.Now())
	if err != nil {
		w.tb.Fatal(err)
	}
	return saved
}

// Update saves the next version of a webhook.
func (w *World) Update(hook broker.Saved) broker.Saved {
	w.tb.Helper()
	saved, err := broker.NewDefinitions(w.Conn).Update(w.tb.Context(), hook, time.Now())
	if err != nil {
		w.tb.Fatal(err)
	}
	return saved
}

// Catalog returns one that follows the webhooks.
func (w *World) Catalog() *broker.Catalog {
	w.tb.Helper()
	catalog := broker.NewCatalog(w.Conn)
	Running(w.tb, catalog.Run)
	return catalog
}

// AwaitKnown waits until a catalog has that version of a webhook.
func AwaitKnown(tb testing.TB, catalog *broker.Catalog, hook broker.Saved) {
	tb.Helper()
	Eventually(tb, "the catalog knows "+hook.Name, func() bool {
		known, _ := catalog.Lookup(hook.ID)
		return known != nil && known.Revision == hook.Revision
	})
}

// Applier returns one that settles into the store.
func (w *World) Applier(catalog *broker.Catalog) *applier.Applier {
	evaluate := sealed.NewPayloads(secret.MasterKey{}).Evaluate
	return applier.New(catalog, w.Store, evaluate, w.Store, report.New(zerolog.Nop(), prometheus.NewRegistry()))
}

// Consume has the deliveries handled, as an applier does.
func (w *World) Consume(handle func(context.Context, []delivery.Delivery) []delivery.Verdict) (stop func()) {
	w.tb.Helper()
	return Running(w.tb, brokertest.NewConsumer(w.Conn, handle).Run)
}

// Publisher returns one that runs.
func Publisher(tb testing.TB, conn *broker.Conn) *broker.Publisher {
	tb.Helper()
	p := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop()})
	Running(tb, p.Run)
	return p
}

// Delivery is one that a webhook is sent.
func Delivery(hook broker.Saved, body []byte) delivery.Delivery {
	return delivery.Delivery{
		ID: delivery.NewID(), WebhookID: hook.ID, Revision: hook.Revision, Slot: delivery.SlotOf(hook.Community),
		ReceivedAt: time.Now(), Body: body,
	}
}

// Publish stores deliveries, each in a message of its own.
func Publish(tb testing.TB, p *broker.Publisher, all ...delivery.Delivery) {
	tb.Helper()
	for _, d := range all {
		if err := p.Publish(tb.Context(), d); err != nil {
			tb.Fatal(err)
		}
	}
}
