package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/rejection"
)

// reject notes a rejection, as an ingress does.
func (w *world) reject(hook broker.Saved, at time.Time, code, cause string) {
	w.t.Helper()
	n := rejection.Note{
		Rejection: rejection.Rejection{
			At: at, Code: code, Cause: cause, Address: "192.0.2.7", Method: "POST",
			Headers: []delivery.Header{{Name: "User-Agent", Value: "<shop>/1"}}, BodyBytes: 77,
		},
		Counted: map[string]int64{code: 4},
	}
	if err := broker.NewRejectionStore(w.Conn, zerolog.Nop()).StoreRejection(w.t.Context(), hook.ID, n); err != nil {
		w.t.Fatal(err)
	}
}

// An admin finds out from the webhook's page why a sender's requests are refused.
func TestRejectionsShowTheCauseInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Shop")
	link := w.admin.get("/webhooks/"+hook.ID).Find("a[href$='/rejections']").AttrOr("href", "")
	if p := w.admin.get(link); p.status != http.StatusOK || p.Find("#none").Length() != 1 {
		t.Fatalf("%q: %d %s", link, p.status, p.text("main"))
	}
	w.reject(hook, time.Now().Add(-2*time.Hour), "invalid_api_key", "the header x-api-key is missing")
	w.reject(hook, time.Now(), "invalid_signature", "the timestamp is 9m0s old")
	p := w.admin.get(link)
	for _, text := range []string{"the timestamp is 9m0s old", "the header x-api-key is missing", "192.0.2.7", "<shop>/1", "77 bytes"} {
		if !strings.Contains(p.text("#rejections"), text) {
			t.Errorf("the page does not show %q: %s", text, p.text("#rejections"))
		}
	}
	if got := strings.Join(strings.Fields(p.text("#counts tbody")), " "); got != "invalid_api_key5invalid_signature5" && got != "invalid_api_key 5 invalid_signature 5" {
		t.Errorf("counts = %q", got)
	}
	if p := w.signedIn("vera", admin.Viewer).get(link + "?since=1h"); p.Find("#rejections tbody tr").Length() != 1 {
		t.Errorf("the last hour: %s", p.text("main"))
	}
}
