package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/api"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// tries are how the routes are asked about the other community: {delivery}, {user} and
// {webhook} are its.
var tries = map[string][]string{ // targets, or a target and bodies
	"GET /apis/v1/deliveries":            {"/apis/v1/deliveries", "/apis/v1/deliveries?webhook={webhook}", "/apis/v1/deliveries?user={user}", "/apis/v1/deliveries?user=zebra"},
	"GET /apis/v1/deliveries/{id}":       {"/apis/v1/deliveries/{delivery}"},
	"GET /apis/v1/logs":                  {"/apis/v1/logs", "/apis/v1/logs?webhook={webhook}", "/apis/v1/logs?user={user}"},
	"GET /apis/v1/users":                 {"/apis/v1/users", "/apis/v1/users?search=zeb"},
	"GET /apis/v1/users/{user}":          {"/apis/v1/users/{user}", "/apis/v1/users/zebra"},
	"POST /apis/v1/users/activity/daily": {"/apis/v1/users/activity/daily", `{"identifier":["zebra"],"identifier_type":"username","date":"01/01/2026"}`},
	"POST /apis/v1/users/info":           {"/apis/v1/users/info", `{"idOrEmail":"{user}"}`, `{"idOrEmail":"zebra@example.com"}`},
}

// A token sees nothing of another community, by no route. A route without an entry fails.
func TestATokensCommunityIsAllThereIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, err := w.Store.AddUser(t.Context(), theirs, postgres.NewUser{Email: "zebra@example.com", Username: "zebra"})
	if err != nil {
		t.Fatal(err)
	}
	settled := w.settled(theirs, "zebra@example.com", time.Time{}, change(webhook.Add, "coins", 7))
	names := strings.NewReplacer("{delivery}", settled.String(), "{user}", user.String(), "{webhook}", w.shops[theirs].ID)
	shown := 0
	for _, route := range api.Routes() {
		targets := tries[route]
		if targets == nil {
			t.Errorf("%s: add it to tries, with what another community has", route)
		}
		method, _, _ := strings.Cut(route, " ")
		bodies := []string{""}
		if method == http.MethodPost {
			targets, bodies = targets[:1], targets[1:]
		}
		for _, target := range targets {
			for _, body := range bodies {
				r := w.request(method, names.Replace(target), names.Replace(body))
				got := w.send(r)
				if strings.Contains(string(got.body), "zebra@") || strings.Contains(string(got.body), settled.String()) || got.status == http.StatusInternalServerError {
					t.Errorf("%s %s: %d %s", target, body, got.status, got.body)
				}
				r = w.request(method, names.Replace(target), names.Replace(body))
				r.Header.Set("Authorization", "Bearer "+w.bearer[theirs])
				if got := w.send(r); got.status == http.StatusOK && strings.Contains(string(got.body), user.String()) {
					shown++
				}
			}
		}
	}
	if shown < 6 {
		t.Errorf("its own token sees the user in %d answers: this test cannot fail", shown)
	}
	for route := range tries {
		if !slices.Contains(api.Routes(), route) {
			t.Errorf("%s is no route", route)
		}
	}
}
