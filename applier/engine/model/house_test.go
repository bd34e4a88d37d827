package model_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// house is what all histories have together: one database, as it was set up.
type house struct {
	db       *sql.DB
	store    *postgres.Store
	hooks    definitions
	idOf     map[hook]string
	payloads *sealed.Payloads
	url      string
	count    int // of histories
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{hooks: definitions{}, idOf: map[hook]string{}, payloads: sealed.NewPayloads(secret.MasterKey{})}
	h.url = postgrestest.URL(t)
	var err error
	if h.db, err = sql.Open("postgres", h.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() }) // the database is dropped next
	h.open(t)
	t.Cleanup(func() { h.store.Close() }) // the same
	for name, yaml := range yamlOf {
		def, err := webhook.Parse([]byte(yaml))
		if err != nil {
			t.Fatal(err)
		}
		w, err := webhook.Compile(webhook.Record{ID: webhook.NewID(), Version: 1, Definition: def}, 1)
		if err != nil {
			t.Fatal(err)
		}
		h.hooks[w.ID], h.idOf[name] = w, w.ID
	}
	_, err = h.store.SetCurrency(t.Context(), community, "gems", func(c applier.Currency, _ bool) (applier.Currency, error) {
		low, high := minimum["gems"], maximum["gems"]
		c.Minimum, c.Maximum = &low, &high
		return c, nil
	})
	if err == nil {
		err = h.store.SetField(t.Context(), community, applier.Field{Name: "team", Type: applier.Text})
	}
	if err == nil {
		_, err = h.db.ExecContext(t.Context(), `CREATE SCHEMA copies`)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// open is what an applier does that starts.
func (h *house) open(tb rapid.TB) {
	tb.Helper()
	store, err := postgres.Open(h.url, postgres.Options{Settling: true})
	if err != nil {
		tb.Fatal(err)
	}
	h.store = store
}

// tables are all that a backup of the database has.
func (h *house) tables(tb rapid.TB) (names []string) {
	tb.Helper()
	rows, err := h.db.QueryContext(context.Background(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_versions'`)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			tb.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// saveTables copies all tables. Sequences go on: no number that they give matters.
func (h *house) saveTables(tb rapid.TB, name string) {
	tb.Helper()
	var b strings.Builder
	for _, table := range h.tables(tb) {
		fmt.Fprintf(&b, `CREATE UNLOGGED TABLE IF NOT EXISTS copies.%[2]s_%[1]s (LIKE public.%[1]s); DELETE FROM copies.%[2]s_%[1]s; INSERT INTO copies.%[2]s_%[1]s SELECT * FROM public.%[1]s; `, table, name)
	}
	if _, err := h.db.ExecContext(context.Background(), b.String()); err != nil {
		tb.Fatal(err)
	}
}

// loadTables has all tables as they were copied.
func (h *house) loadTables(tb rapid.TB, name string) {
	tb.Helper()
	b := new(strings.Builder)
	b.WriteString(`SET LOCAL session_replication_role = replica; `)
	for _, table := range h.tables(tb) {
		fmt.Fprintf(b, `DELETE FROM public.%[1]s; INSERT INTO public.%[1]s OVERRIDING SYSTEM VALUE SELECT * FROM copies.%[2]s_%[1]s; `, table, name)
	}
	if _, err := h.db.ExecContext(context.Background(), b.String()); err != nil {
		tb.Fatal(err)
	}
}
