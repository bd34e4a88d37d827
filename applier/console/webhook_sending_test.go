package console_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/console"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
)

// door keeps what was sent to it, and answers as told.
type door struct {
	*httptest.Server
	header http.Header
	body   []byte
	status int
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{status: http.StatusAccepted}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.header = r.Header
		d.body, _ = io.ReadAll(r.Body) // a short one fails the test
		w.WriteHeader(d.status)
		fmt.Fprintf(w, `{"id":%q,"status":"pending"}`, delivery.NewID())
	}))
	t.Cleanup(d.Close)
	return d
}

// A test is signed by the secret that the webhook keeps, and has the key that was given;
// neither is shown.
func TestATestIsSentAsTheSenderWould(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	master, err := secret.ParseMasterKey(strings.Repeat("m", 42) + "A")
	if err != nil {
		t.Fatal(err)
	}
	w := makeWorld(t, 1<<40, master, func(o *console.Options) { o.HookURL = func(id string) string { return d.URL + "/hooks/" + id } })
	hook := w.webhookOf("{name: Shop, auth: {api_key: true, signature: github}}")
	if _, err := w.webhooks.SetSecret(t.Context(), w.reread(hook.ID), webhooks.OfSignature, "hunter2", 0); err != nil {
		t.Fatal(err)
	}
	address := "/webhooks/" + hook.ID + "/test"
	if p := w.admin.post(address, url.Values{"payload": {`{"a":1}`}}); p.status != http.StatusUnprocessableEntity || d.body != nil {
		t.Errorf("without the key: %d, sent %q", p.status, d.body)
	}
	p := w.admin.post(address, url.Values{"payload": {`{"a":1}`}, "api_key": {"chk_of_the_sender"}})
	if p.status != http.StatusOK || !strings.Contains(p.text("#answer"), "Answered 202 Accepted as delivery") {
		t.Fatalf("%d %s", p.status, p.text("main"))
	}
	sum := hmac.New(sha256.New, []byte("hunter2"))
	sum.Write([]byte(`{"a":1}`))
	if got := d.header.Get("X-Hub-Signature-256"); string(d.body) != `{"a":1}` || got != "sha256="+hex.EncodeToString(sum.Sum(nil)) || d.header.Get("X-Api-Key") != "chk_of_the_sender" {
		t.Errorf("sent %q with %v", d.body, d.header)
	}
	trail := w.admin.get("/trail").body
	if strings.Contains(p.body+trail, "chk_of_the_sender") || strings.Contains(p.body+trail, "hunter2") || !strings.Contains(trail, "send test") {
		t.Error("a secret is shown, or the audit trail lacks the test")
	}
	d.status = http.StatusUnauthorized
	if p := w.admin.post(address, url.Values{"payload": {`{}`}, "api_key": {"x"}}); !strings.Contains(p.text("#answer"), "Answered 401") || p.Find(`#answer a[href$="/rejections"]`).Length() != 1 {
		t.Errorf("refused: %s", p.text("#answer"))
	}
	sent := len(d.body)
	if p := w.signedIn("vera", admin.Viewer).post(address, url.Values{"payload": {`{"of":"a viewer"}`}, "api_key": {"x"}}); p.status != http.StatusForbidden || len(d.body) != sent {
		t.Errorf("a viewer sends: %d", p.status)
	}
}

// The page follows a test that has no outcome yet, and stops once it has one.
func TestATestIsFollowedUntilItIsSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	hook, other := w.webhook("Shop"), w.webhook("Other")
	id := w.send(hook, `{"user":"alice@example.com","coins":25}`)
	address := "/webhooks/" + hook.ID + "/test?delivery=" + id.String()
	if p := w.admin.get(address); p.status != http.StatusOK || p.Find("#outcome").AttrOr("hx-get", "") != address || !strings.Contains(p.text("#outcome"), "no outcome yet") {
		t.Errorf("pending: %d %s", p.status, p.text("#outcome"))
	}
	if p := w.admin.get("/webhooks/" + hook.ID + "/test?delivery=" + delivery.NewID().String()); p.Find("#outcome").AttrOr("hx-get", "") == "" {
		t.Errorf("on its way: %d %s", p.status, p.text("main"))
	}
	w.settle()
	appliertest.Eventually(w.t, "the delivery is settled", func() bool { return w.admin.get(address).Find("#outcome[hx-get]").Length() == 0 })
	p := w.admin.get(address)
	if text := p.text("#outcome"); !strings.Contains(text, "success") || !strings.Contains(text, "+25") || !strings.Contains(text, "alice@example.com") {
		t.Errorf("settled: %s", text)
	}
	if p := w.admin.get("/webhooks/" + other.ID + "/test?delivery=" + id.String()); p.status != http.StatusNotFound {
		t.Errorf("by another webhook: %d", p.status)
	}
}

// A definition may have the door answer in the sender's own words, without an id.
func TestATestWithAnAnswerOfTheSendersIsAccepted(t *testing.T) {
	t.Parallel()
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "7:OK") }))
	t.Cleanup(d.Close)
	w := newWorld(t, func(o *console.Options) { o.HookURL = func(string) string { return d.URL } })
	hook := w.webhookOf(`{name: Ads, auth: {}, receive: {answer: {status: 200, body: "7:OK"}}, state: active, user: {by: email, path: user}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	p := w.admin.post("/webhooks/"+hook.ID+"/test", url.Values{"payload": {`{}`}})
	if text := p.text("#answer"); !strings.Contains(text, "7:OK") || strings.Contains(text, "rejections") || p.Find(`#answer a[href$="/deliveries"]`).Length() != 1 {
		t.Errorf("%d %s", p.status, text)
	}
}
