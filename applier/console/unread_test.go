package console_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/console"
)

// Where too much is pending to read all of it, lists say so, and there is no file: nothing in
// it would.
func TestWhatWasNotReadIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) { o.History.SearchAtMost(2) })
	shop, other := w.webhook("Shop"), w.webhook("Other")
	for range 5 {
		w.send(other, `{"user":"alice@example.com","coins":1}`)
	}
	for path, want := range map[string]int{
		"/deliveries?webhook=" + shop.ID: http.StatusOK, "/webhooks/" + shop.ID + "/deliveries": http.StatusOK,
		"/deliveries.csv?webhook=" + shop.ID: http.StatusServiceUnavailable,
	} {
		if p := w.admin.get(path); p.status != want || !strings.Contains(p.text("main"), "Too much is pending to read all of it") {
			t.Errorf("%s: %d %s", path, p.status, p.text("main"))
		}
	}
	for _, path := range []string{"/deliveries.csv?status=success&webhook=" + shop.ID, "/deliveries.csv?webhook=" + other.ID} {
		if p := w.admin.get(path); p.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, p.status, p.text("main"))
		}
	}
}

// A download that cannot begin says why, as a page does.
func TestADownloadThatCannotBeginSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Exec("REVOKE ALL ON dead_letters FROM coinhook_console")
	for _, path := range []string{"/dead-letters/export", "/dead-letters.csv"} {
		p := w.admin.get(path)
		if p.status != http.StatusInternalServerError || !strings.Contains(p.text("main"), "the console's log says what") || p.header.Get("Content-Disposition") != "" {
			t.Errorf("%s: %d %v %s", path, p.status, p.header, p.text("main"))
		}
	}
}

// A page that reads more than PostgreSQL does in its time says what to do.
func TestAPageThatTakesTooLongSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx, err := w.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it only held the lock
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE outcomes"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { // as the statement's time being over
		for ctx.Err() == nil {
			_, _ = w.DB.ExecContext(ctx, "SELECT pg_cancel_backend(pid), pg_sleep(0.05) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
		}
	}()
	if p := w.admin.get("/deliveries?status=success"); p.status != http.StatusServiceUnavailable || !strings.Contains(p.text("main"), "Narrow it") {
		t.Errorf("%d %s", p.status, p.text("main"))
	}
}
