package console_test

import (
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
