package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ages say how long something waits: that is another time each time.
var ages = regexp.MustCompile(`, for [^:]+: `)

// TestWhatIsParkedIsSeenOnEachPage, with what to do.
func TestWhatIsParkedIsSeenOnEachPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop, other := w.webhook("Shop"), w.webhook("Other")
	w.user("ann@example.com")
	ann, err := w.Store.FindUser(t.Context(), "default", "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	paused, locked, newer := delivery.NewID(), delivery.NewID(), delivery.NewID()
	postgrestest.Park(t, w.DB,
		postgrestest.Parked{ID: paused, Webhook: shop.ID, Community: "default", Reason: applier.Paused, Body: `{"coins":5,"password":"hunter2"}`},
		postgrestest.Parked{ID: locked, Webhook: other.ID, Community: "default", Reason: applier.UserLocked, User: ann.ID},
		postgrestest.Parked{ID: newer, Webhook: other.ID, Community: "default", Reason: applier.NewerFormat},
	)
	w.Exec("UPDATE parked SET newer = true WHERE delivery_id = $1", newer.String())
	tx, err := w.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it only held the lock
	if _, err := tx.ExecContext(t.Context(), "SELECT FROM users FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	const ofShop, ofOther = `1 delivery of "Shop", for …: paused. Resume the webhook`, `1 delivery of "Other", for …: user_locked. They go on by themselves`
	for _, page := range []struct {
		path string
		want []string
	}{
		{"/", []string{ofShop, ofOther, "Held by process ", "○ pending 3 parked"}},
		{"/deliveries", []string{ofShop, ofOther}},
		{"/deliveries?webhook=" + shop.ID, []string{ofShop}},
		{"/deliveries?user=ann@example.com", []string{"user_locked, because"}},
		{"/deliveries?status=pending", []string{"paused, because", "user_locked, because", "newer_format, because"}},
		{"/webhooks", []string{"1 delivery (paused)", "1 delivery (user_locked)"}},
		{"/webhooks/" + shop.ID, []string{ofShop}},
		{"/webhooks/" + other.ID, []string{ofOther, "newer_format. They go on by themselves once all appliers"}},
		{"/deliveries/" + paused.String(), []string{"parked since", "paused, because"}},
		{"/deliveries/" + locked.String(), []string{"user_locked, because", "ann@example.com", "Held by process "}},
		{"/deliveries/" + newer.String() + "?tab=payload", []string{"A newer version of Coinhook wrote this delivery"}},
		{"/deliveries/" + paused.String() + "?tab=payload", []string{"coins", "Secrets are left out"}},
	} {
		path, want := page.path, page.want
		p := w.admin.get(path)
		if p.status != http.StatusOK {
			t.Errorf("%s answers %d", path, p.status)
		}
		text := ages.ReplaceAllString(p.text("main"), ", for …: ")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q: %s", path, part, text)
			}
		}
		if strings.Contains(text, "hunter2") || path == "/deliveries?webhook="+shop.ID && strings.Contains(text, `of "Other"`) {
			t.Errorf("%s has too much: %s", path, text)
		}
	}
	if p := w.admin.get("/deliveries/" + newer.String() + "/payload"); p.status != http.StatusNotFound {
		t.Errorf("the payload that cannot be read answers %d", p.status)
	}
}

// TestADeadLetterSaysThatItsReplayWaits.
func TestADeadLetterSaysThatItsReplayWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	w.settle()
	dead := w.settled(shop, `{"user":"nobody@example.com","coins":50}`)
	postgrestest.Park(t, w.DB, postgrestest.Parked{ID: dead, Replay: delivery.NewID(), Webhook: shop.ID, Community: "default", Reason: applier.Paused})
	for path, want := range map[string]string{
		"/":                            `1 replay of "Shop"`,
		"/deliveries":                  "user_not_found, a replay waits: paused",
		"/deliveries/" + dead.String(): "paused, because",
		"/dead-letters/list":           "A replay waits: paused.",
	} {
		if text := w.admin.get(path).text("main"); !strings.Contains(text, want) {
			t.Errorf("%s lacks %q: %s", path, want, text)
		}
	}
}
