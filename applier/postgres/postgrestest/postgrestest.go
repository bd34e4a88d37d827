// Package postgrestest gives each test a database of its own on a real
// PostgreSQL that is private to the test's process.
package postgrestest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/postgres"
	devpostgres "github.com/coinhook/coinhook/pkg/dev/stack/postgres"
)

const template = "coinhook_template"

// cluster is started by the first test that needs it.
var cluster struct {
	once   sync.Once
	server *devpostgres.Server
	db     *sql.DB // for statements on whole databases, and roles
	err    error
	count  atomic.Int64
	// cloning: PostgreSQL lets nobody else use a template while it is copied.
	cloning sync.Mutex
}

// Main runs a package's tests and stops the server after them. A package that
// uses Open calls it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if cluster.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := cluster.server.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func start() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cluster.server, cluster.err = devpostgres.Start(ctx, devpostgres.Options{})
	if cluster.err != nil {
		return
	}
	if cluster.db, cluster.err = sql.Open("postgres", cluster.server.URL("postgres")); cluster.err != nil {
		return
	}
	if cluster.err = execute(ctx, "CREATE DATABASE "+template); cluster.err != nil {
		return
	}
	store, err := postgres.Open(cluster.server.URL(template), postgres.Options{Name: "postgrestest"})
	if err != nil {
		cluster.err = err
		return
	}
	defer store.Close() // nothing was left open
	if _, cluster.err = store.Migrate(ctx); cluster.err == nil {
		cluster.err = makeRoles(ctx, store)
	}
}

// makeRoles makes the roles, and a login role for each.
func makeRoles(ctx context.Context, store *postgres.Store) error {
	if err := store.GrantRoles(ctx); err != nil {
		return err
	}
	for _, role := range postgres.Roles {
		if err := execute(ctx, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE %s, pg_read_all_stats", loginOf(role), loginPassword, role)); err != nil {
			return err
		}
	}
	return nil
}

const loginPassword = "login"

// loginOf is the login role of a role of postgres.Roles.
func loginOf(role string) string { return strings.TrimPrefix(role, "coinhook_") }

// As returns the URL of a database for a member of one of postgres.Roles.
func As(tb testing.TB, address, role string) string {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.UserPassword(loginOf(role), loginPassword)
	return u.String()
}

func execute(ctx context.Context, statement string) error {
	_, err := cluster.db.ExecContext(ctx, statement)
	return err
}

// URL returns that of a new database with all tables, which goes with the test.
func URL(tb testing.TB) string {
	tb.Helper()
	return newDatabase(tb, template)
}

// EmptyURL returns that of a new database without tables.
func EmptyURL(tb testing.TB) string {
	tb.Helper()
	return newDatabase(tb, "template0")
}

func newDatabase(tb testing.TB, from string) string {
	tb.Helper()
	cluster.once.Do(start)
	if cluster.err != nil {
		tb.Fatalf("a private PostgreSQL: %v", cluster.err)
	}
	name := fmt.Sprintf("test_%d", cluster.count.Add(1))
	cluster.cloning.Lock()
	// Without fsync a copy of the files takes half the time of one through the log.
	err := execute(tb.Context(), "CREATE DATABASE "+name+" TEMPLATE "+from+" STRATEGY file_copy")
	cluster.cloning.Unlock()
	if err != nil {
		tb.Fatalf("create the test's database: %v", err)
	}
	tb.Cleanup(func() {
		if err := execute(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return cluster.server.URL(name)
}

// Open returns a store on a new database, and a plain handle on the same for
// looking and meddling.
func Open(tb testing.TB, opts postgres.Options) (*postgres.Store, *sql.DB) {
	tb.Helper()
	return OpenURL(tb, URL(tb), opts)
}

// OpenURL is Open on a database that is there.
func OpenURL(tb testing.TB, url string, opts postgres.Options) (*postgres.Store, *sql.DB) {
	tb.Helper()
	store, err := postgres.Open(url, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		store.Close() // the database is dropped next
	})
	return store, openDB(tb, url)
}

// openDB passes parameters as the store does: an array is binary.
func openDB(tb testing.TB, url string) *sql.DB {
	tb.Helper()
	cfg, err := pq.NewConfig(url)
	if err != nil {
		tb.Fatal(err)
	}
	cfg.BinaryParameters = true
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	db := sql.OpenDB(connector)
	tb.Cleanup(func() {
		db.Close() // the database is dropped next
	})
	return db
}
