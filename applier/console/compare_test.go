package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
)

// Two deliveries that are marked in Histories stand next to each other: what became of them,
// and their payloads, with what differs and what the mapping reads.
func TestTwoDeliveriesAreCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	w.user("ann@example.com")
	shop := w.webhook("Shop")
	good := w.settled(shop, `{"user":"ann@example.com","coins":11886734,"note":"<b>","password":"one"}`).String()
	bad := w.settled(shop, `{"user":"ann@example.com","coins":"many","note":"<b>","password":"two"}`).String()

	histories := w.signedIn("vera", admin.Viewer).get("/deliveries")
	for _, id := range []string{good, bad} {
		if n := histories.Find(`#marked input[name="with"][value="` + id + `"]`).Length(); n != 1 {
			t.Errorf("a viewer can mark it with %d boxes", n)
		}
	}
	if got := histories.Find(`#marked button[formaction="/dead-letters/replay"]`).Length(); got != 0 {
		t.Error("a viewer is offered a replay")
	}
	histories = w.admin.get("/deliveries")
	if histories.Find(`input[name="id"]`).Length() != 1 || histories.Find(`input[name="with"]`).Length() != 1 {
		t.Errorf("an owner can mark %s", histories.text("#marked"))
	}

	p := w.admin.get("/deliveries/compare?" + url.Values{"id": {bad}, "with": {good}}.Encode())
	differs := strings.Join(p.texts("#paths .differs code"), " ")
	if differs != `coins "many" 11886734` || p.text("#paths > p") == "" || !strings.HasPrefix(p.text("#paths > p"), "1 value differs") {
		t.Errorf("what differs is %q: %s", differs, p.text("#paths > p"))
	}
	if read := p.Find(`#paths th:contains("◆")`); read.Length() != 2 { // user and coins
		t.Errorf("the mapping reads %d values", read.Length())
	}
	if strings.Contains(p.text("#paths"), "one") || !strings.Contains(p.text("#paths"), "look like secrets are left out") {
		t.Errorf("secrets are shown: %s", p.text("#paths"))
	}
	facts := p.text("#facts")
	for _, want := range []string{"failed: Amount cannot be used (invalid_amount). ", "success, applied", "Coins +11 886 734 → 11 886 734", bad, good} {
		if !strings.Contains(facts, want) {
			t.Errorf("the facts lack %q: %s", want, facts)
		}
	}
	if p.Find("#facts time[data-exact]").Length() != 2 {
		t.Error("the times are not in the zone that the person chose")
	}
	for query, status := range map[string]int{
		"": http.StatusUnprocessableEntity, "id=" + good: http.StatusUnprocessableEntity, "id=" + good + "&id=" + bad + "&with=" + good: http.StatusUnprocessableEntity,
		"id=" + good + "&with=nonsense": http.StatusNotFound,
	} {
		if p := w.admin.get("/deliveries/compare?" + query); p.status != status {
			t.Errorf("%q is answered %d, want %d", query, p.status, status)
		}
	}
}
