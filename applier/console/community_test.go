package console_test

import (
	"net/http"
	"testing"
)

// The pages of one community lead to those of the others, and to one another.
func TestTheCommunityIsSwitched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if p := w.admin.get("/deliveries"); p.status != http.StatusOK || p.Find("#community-switch").Length() != 0 {
		t.Error("one community can be switched")
	}
	w.webhookOf("{name: Quiz, community: north, auth: {}}")
	p := w.admin.get("/deliveries?community=north")
	if got := p.text("#community-switch summary"); got != "north" {
		t.Errorf("the community is %q", got)
	}
	for _, want := range []string{"/deliveries", "/deliveries?community=default"} {
		if p.Find(`#community-switch a[href="`+want+`"]`).Length() != 1 {
			t.Errorf("nothing leads to %s", want)
		}
	}
	if p.Find(`nav a[href="/logs?community=north"]`).Length() != 1 || p.Find(`nav a[href="/webhooks"]`).Length() != 1 {
		t.Error("the logs are of another community")
	}
	if got := w.admin.get("/settings").text("#community-switch summary"); got != "default" {
		t.Errorf("the settings are those of %q", got)
	}
	if w.admin.get("/trail").Find("#community-switch").Length() != 0 {
		t.Error("the trail is of one community")
	}
}
