package e2e

import (
	"strings"
	"testing"
)

// holdsText names the tables that hold a text, in any case or as bytes.
const holdsText = `
SELECT coalesce(string_agg(table_name, ', '), '') FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
    AND query_to_xml(format('SELECT 1 FROM %I t WHERE strpos(lower(t::text), %L) > 0 OR strpos(t::text, %L) > 0 LIMIT 1', table_name, $1::text,
        encode(convert_to($1::text, 'UTF8'), 'hex')), true, false, '')::text LIKE '%<row%'`

// A restored backup brings an erased user back. The audit says so, and its repair erases
// the user again. Deliveries after the backup count, and nobody else's balance changes.
func TestAnErasedUserStaysErasedAfterARestore(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "erase-me", "bob")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	dead := h.deliver(t, coinsBody("erase-me", "-1"))
	for _, body := range []string{coinsBody("erase-me", "5"), coinsBody("bob", "7")} {
		wantApplied(t, w.settled(t, h.deliver(t, body)))
	}
	w.awaitRows(t, dead)
	id := w.user(t, "erase-me").ID
	const disconnect = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'coinhook'`
	w.withAppliersStopped(t, func() {
		w.exec(t, disconnect, `CREATE DATABASE backup TEMPLATE coinhook`)
	})
	wantApplied(t, w.settled(t, h.deliver(t, coinsBody("bob", "3"))))
	w.erase(t, id)
	w.wantNowhere(t, "erase-me")

	w.withAppliersStopped(t, func() {
		w.exec(t, disconnect, `DROP DATABASE coinhook`, `ALTER DATABASE backup RENAME TO coinhook`)
	})
	if got := w.user(t, "erase-me").ID; got != id {
		t.Fatalf("the backup has %q, want the user %s", got, id)
	}
	var found, repaired, again auditJSON
	w.audit(t, 1, &found)
	kinds := map[string]int{}
	for _, v := range found.Violations {
		kinds[v.Kind]++
	}
	if kinds["user_not_erased"] != 1 || found.Unsettled != 1 {
		t.Errorf("found %v, %d without an outcome", kinds, found.Unsettled)
	}
	w.audit(t, 0, &repaired, "--repair")
	w.wantNowhere(t, "erase-me")
	w.wantBalances(t, "bob", "10", "0")
	if coins := w.user(t, id).Balances["coins"]; coins != "5" {
		t.Errorf("the ledger keeps %s coins under the id, want 5", coins)
	}
	w.audit(t, 0, &again)
	w.wantNonePending(t)
}

func (w *world) erase(t *testing.T, id string) {
	t.Helper()
	if got := w.coinhook(t, "users", "delete", id, "--yes"); got.code != 0 {
		t.Fatalf("users delete: %+v", got)
	}
}

// wantNowhere searches all tables for a text.
func (w *world) wantNowhere(t *testing.T, text string) {
	t.Helper()
	var tables string
	if err := w.db.QueryRowContext(withDeadline(t), holdsText, strings.ToLower(text)).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables != "" {
		t.Errorf("%s is still in %s", text, tables)
	}
}
