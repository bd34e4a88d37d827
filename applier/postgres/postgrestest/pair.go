package postgrestest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	devpostgres "github.com/coinhook/coinhook/pkg/dev/stack/postgres"
)

// Database is the one with all tables that the servers of a Pair have.
const Database = "coinhook"

// Pair returns a primary and a hot standby of the test's own, with the same
// password.
func Pair(tb testing.TB) (primary, standby *devpostgres.Server) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	const password = "pair"
	primary = startOwn(tb, devpostgres.Options{Dir: folder(tb), Password: password})
	db := openDB(tb, primary.URL("postgres"))
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+Database); err != nil {
		tb.Fatal(err)
	}
	store, err := postgres.Open(primary.URL(Database), postgres.Options{Name: "postgrestest"})
	if err != nil {
		tb.Fatal(err)
	}
	defer store.Close() // nothing was left open
	if _, err := store.Migrate(ctx); err != nil {
		tb.Fatal(err)
	}
	opts := devpostgres.Options{Dir: folder(tb), Password: password}
	cluster, err := devpostgres.Reserve(opts)
	if err != nil {
		tb.Fatal(err)
	}
	if err := cluster.CopyFrom(ctx, primary.Addr(), "standby"); err != nil {
		tb.Fatal(err)
	}
	return primary, startOwn(tb, opts)
}

func startOwn(tb testing.TB, opts devpostgres.Options) *devpostgres.Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	defer cancel()
	server, err := devpostgres.Start(ctx, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(server.Kill)
	return server
}

// folder is one that PostgreSQL's own account can be given.
func folder(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "coinhook-pair-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// Own returns a server of the test's own, and the folder of its configuration.
func Own(tb testing.TB) (server *devpostgres.Server, data string) {
	tb.Helper()
	opts := devpostgres.Options{Dir: folder(tb)}
	server = startOwn(tb, opts)
	cluster, err := devpostgres.Reserve(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return server, cluster.Data()
}
