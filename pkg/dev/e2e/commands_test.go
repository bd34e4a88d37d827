package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestApplyCreatesUpdatesAndLeavesAlone(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "Shop purchases", "active", userLine+addCoins)
	if want := w.IngressURL() + "/hooks/" + h.ID; h.URL != want || h.Version != 1 || h.Name != "Shop purchases" {
		t.Errorf("created %+v, want version 1 at %s", h.webhookJSON, want)
	}
	created := h.webhookJSON
	var same, updated webhookJSON
	w.queryWith(t, h.yaml, &same, "webhooks", "apply", "-f", "-")
	if same.ID != created.ID || same.Version != 1 || same.APIKey != "" {
		t.Errorf("applied again: %+v, want the same version and no new key", same)
	}
	w.queryWith(t, strings.Replace(h.yaml, "amount", "order.amount", 1), &updated, "webhooks", "apply", "-f", "-")
	if updated.ID != created.ID || updated.Version != 2 || updated.APIKey != "" {
		t.Errorf("updated: %+v, want version 2 of the same webhook and no new key", updated)
	}
	// The ingress and the appliers hear of version 2 within milliseconds.
	eventually(t, func(context.Context) error {
		d := w.settled(t, h.deliver(t, `{"user":"ann","order":{"amount":5}}`))
		switch {
		case d.Version == 1 && d.Reason == "missing_field":
			return fmt.Errorf("version 1 still decides")
		case d.Version != 2 || d.Outcome != "applied":
			t.Errorf("delivery = %+v, want it applied by version 2", d)
		}
		return nil
	})
	// Another community may use the name.
	other := w.newWorld(t)
	if second := other.hook(t, "Shop purchases", "draft", ""); second.ID == created.ID || second.APIKey == created.APIKey {
		t.Errorf("the other community's webhook is %+v, the first one %+v", second.webhookJSON, created)
	}
	var shown map[string]any
	w.query(t, &shown, "webhooks", "show", created.ID)
	if shown["version"] != 2.0 || shown["url"] != created.URL || shown["state"] != "active" || shown["api_key"] != nil {
		t.Errorf("show = %v", shown)
	}
	var all []webhookJSON
	w.query(t, &all, "webhooks", "list", "--community", w.community)
	if len(all) != 1 || all[0].ID != created.ID {
		t.Errorf("list = %+v", all)
	}
	exported := w.coinhook(t, "webhooks", "export", created.ID)
	if exported.code != 0 {
		t.Fatal(exported.stderr)
	}
	w.queryWith(t, exported.stdout, &same, "webhooks", "apply", "-f", "-")
	if same.ID != created.ID || same.Version != 2 {
		t.Errorf("what was exported is %+v when it is applied, want no change", same)
	}
}

func TestApplyRefusesWithTheLineAndTheCause(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	h := w.hook(t, "shop", "active", userLine+addCoins)
	for _, test := range []struct {
		name, old, new string
		want           []string
	}{
		{"an_unknown_key", "auth:", "colour: red\nauth:", []string{"line 4", "colour"}},
		{"an_unknown_currency", "coins", "gems", []string{"line 7", "gems"}},
		{"an_unknown_operator", "operator: add", "operator: multiply", []string{"line 7", "multiply"}},
		{"a_path_with_a_wildcard", "{path: amount}", "{path: 'items[*].amount'}", []string{"line 7", "items[*].amount"}},
		{"no_mappings", addCoins, "", []string{"mappings"}},
		{"a_state_there_is_not", "state: active", "state: on", []string{"line 3", "on"}},
		{"broken_YAML", "mappings:", "mappings: [", []string{"line"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			yaml := strings.Replace(h.yaml, test.old, test.new, 1)
			if yaml == h.yaml {
				t.Fatal("the definition was not changed")
			}
			got := run(t, w.Dir(), w.Env(), yaml, "webhooks", "apply", "-f", "-", "-o", "json", "--yes")
			if got.code != 1 || got.stdout != "" {
				t.Errorf("exit %d, stdout %q: want 1, and nothing", got.code, got.stdout)
			}
			for _, want := range test.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("the message does not name %q: %s", want, got.stderr)
				}
			}
		})
	}
	var shown webhookJSON
	w.query(t, &shown, "webhooks", "show", h.ID)
	if shown.Version != 1 {
		t.Errorf("version %d after refusals, want 1", shown.Version)
	}
}

func TestBadUsageExitsWith2(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	for _, args := range [][]string{
		{},
		{"frobnicate"},
		{"webhooks"},
		{"webhooks", "show"},
		{"webhooks", "apply"},
		{"deliveries", "list", "--status", "lost"},
		{"deliveries", "list", "--reason", "bad_luck"},
		{"deliveries", "list", "--limit", "0"},
		{"deliveries", "list", "--limit", "many"},
		{"deliveries", "list", "--since", "yesterday"},
		{"deliveries", "show", "42"},
		{"users", "list", "-o", "xml"},
		{"webhooks", "rotate-key", "shop", "--overlap", "-1h"},
		{"--no-such-flag", "users", "list"},
	} {
		t.Run(strings.Join(args, "_"), func(t *testing.T) {
			got := w.coinhook(t, args...)
			if got.code != 2 || got.stdout != "" || got.stderr == "" {
				t.Errorf("exit %d, stdout %q, stderr %q: want 2, and a message on stderr only", got.code, got.stdout, got.stderr)
			}
		})
	}
}

func TestFailuresExitWith1AndSayWhy(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"webhooks", "show", "nothing"}, "nothing"},
		{[]string{"users", "show", "nobody"}, "nobody"},
		{[]string{"deliveries", "show", "01920f4e-7f00-7000-8000-000000000000"}, "01920f4e-7f00-7000-8000-000000000000"},
		{[]string{"deliveries", "list", "--webhook", "nothing"}, "nothing"},
		{[]string{"deliveries", "list", "--user", "nobody"}, "nobody"},
		{[]string{"webhooks", "apply", "-f", "missing.yaml"}, "missing.yaml"},
		{[]string{"users", "import", "missing.csv"}, "missing.csv"},
	} {
		t.Run(strings.Join(test.args, "_"), func(t *testing.T) {
			got := w.coinhook(t, append(test.args, "-o", "json", "--yes")...)
			if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, test.want) {
				t.Errorf("exit %d, stdout %q, stderr %q: want 1 and %q on stderr only", got.code, got.stdout, got.stderr, test.want)
			}
		})
	}
}

func TestListsAreNewestFirstAndNarrowed(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann", "bob")
	shop, game := w.hook(t, "shop", "active", userLine+addCoins), w.hook(t, "game", "active", userLine+takeCoins)
	var ids []string
	for i := range 60 {
		user := []string{"ann", "bob"}[i%2]
		ids = append(ids, shop.deliver(t, coinsBody(user, "10")))
	}
	w.awaitRows(t, ids...)
	failed := game.deliver(t, coinsBody("nobody", "1"))
	w.awaitRows(t, failed)
	// Ids, by which the list is narrowed, tell milliseconds.
	between := w.show(t, failed).ReceivedAt.Add(2 * time.Millisecond).Format(time.RFC3339Nano)
	taken := game.deliver(t, coinsBody("ann", "1"))
	w.awaitRows(t, taken)
	ids = append(ids, failed, taken)
	slices.Reverse(ids)
	var ofAnn []string
	for i, id := range ids {
		if i == 0 || i > 1 && i%2 == 1 {
			ofAnn = append(ofAnn, id)
		}
	}
	for _, test := range []struct {
		name  string
		flags []string
		want  []string
	}{
		{"50_by_default", nil, ids[:50]},
		{"all_with_a_higher_limit", []string{"--limit", "62"}, ids},
		{"fewer", []string{"--limit", "2"}, ids[:2]},
		{"status", []string{"--status", "failed"}, []string{failed}},
		{"reason", []string{"--reason", "user_not_found"}, []string{failed}},
		{"another_reason", []string{"--reason", "internal"}, nil},
		{"webhook_by_name", []string{"--webhook", "game"}, []string{taken, failed}},
		{"webhook_by_id", []string{"--webhook", game.ID}, []string{taken, failed}},
		{"user_by_name", []string{"--user", "ann", "--limit", "100"}, ofAnn},
		{"user_by_email", []string{"--user", "ANN@example.com", "--limit", "100"}, ofAnn},
		{"webhook_and_status", []string{"--webhook", "game", "--status", "success"}, []string{taken}},
		{"since_a_time", []string{"--since", between}, []string{taken}},
		{"since_a_duration", []string{"--since", "24h", "--limit", "3"}, ids[:3]},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, d := range w.list(t, append(test.flags, "--community", w.community)...) {
				got = append(got, d.ID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("nothing_is_an_empty_array", func(t *testing.T) {
		got := w.coinhook(t, "deliveries", "list", "--community", w.community, "--reason", "internal", "-o", "json")
		if got.code != 0 || strings.TrimSpace(got.stdout) != "[]" {
			t.Errorf("exit %d, stdout %q", got.code, got.stdout)
		}
	})
	t.Run("logs", func(t *testing.T) { wantLogs(t, w, taken) })
}

// wantLogs looks at the logs of ann, who got 30 times 10 coins and gave one.
func wantLogs(t *testing.T, w *world, taken string) {
	var logs, taking []logJSON
	w.query(t, &logs, "logs", "list", "--community", w.community, "--user", "ann", "--limit", "100")
	if len(logs) != 31 {
		t.Fatalf("%d logs of ann, want 31", len(logs))
	}
	newest := logs[0]
	if newest.At.IsZero() || newest.User.Email != "ann@example.com" {
		t.Errorf("log = %+v", newest)
	}
	newest.At, newest.User = time.Time{}, userRefJSON{}
	want := logJSON{Currency: "coins", Operator: "subtract", Amount: "1", Balance: "299", Action: "game", DeliveryID: taken}
	if diff := cmp.Diff(want, newest); diff != "" {
		t.Errorf("newest log (-want +got):\n%s", diff)
	}
	for i := 1; i < len(logs); i++ {
		if want := fmt.Sprint(10 * (len(logs) - i)); logs[i].Balance != want || logs[i].Action != "shop" {
			t.Errorf("log %d = %+v, want a balance of %s", i, logs[i], want)
		}
	}
	w.query(t, &taking, "logs", "list", "--community", w.community, "--webhook", "game", "--currency", "coins", "--since", "1h")
	if len(taking) != 1 || taking[0].DeliveryID != taken {
		t.Errorf("logs of game = %+v", taking)
	}
	var none []logJSON
	if w.query(t, &none, "logs", "list", "--community", w.community, "--currency", "xp"); len(none) != 0 {
		t.Errorf("logs of xp = %+v", none)
	}
}

// TestEachListTakesALimit: the newest come first, where there is a newest.
func TestEachListTakesALimit(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann", "eve")
	w.hook(t, "alpha", "active", userLine+addCoins)
	w.hook(t, "beta", "draft", "")
	newest := w.hook(t, "aardvark", "draft", "")
	newest.apply(t, w.yaml("aardvark", "draft", userLine))
	for _, name := range []string{"team", "team2"} {
		w.query(t, new(any), "fields", "set", name, "--type", "text", "--community", w.community)
	}
	for _, list := range []string{"webhooks list", "users list", "currencies list", "fields list", "communities list", "webhooks versions aardvark"} {
		var two, one []any
		args := append(strings.Fields(list), "--community", w.community, "--limit")
		w.query(t, &two, append(args, "2")...)
		w.query(t, &one, append(args, "1")...)
		if len(two) != 2 || len(one) != 1 || !cmp.Equal(one[0], two[0]) {
			t.Errorf("%s: --limit 2 has %d, --limit 1 has %v", list, len(two), one)
		}
		if got := w.coinhook(t, append(args, "0")...); got.code != 2 || got.stdout != "" {
			t.Errorf("%s --limit 0: %+v", list, got)
		}
	}
	var all []webhookJSON
	w.query(t, &all, "webhooks", "list", "--community", w.community)
	if len(all) != 3 || all[0].ID != newest.ID || all[2].Name != "alpha" {
		t.Errorf("webhooks list has %+v, want aardvark, beta, alpha", all)
	}
}

func TestUsersImportIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	file := filepath.Join(t.TempDir(), "users.csv")
	csv := "username,email\nann,ann@example.com\nbob,bob@example.com\n\"o, \"\"dear\"\"\",o@example.com\n"
	if err := os.WriteFile(file, []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []importJSON{{Added: 3}, {Known: 3}} {
		var got importJSON
		w.query(t, &got, "users", "import", file, "--community", w.community, "--create-community")
		if got.Added != want.Added || got.Known != want.Known || len(got.Bad) != 0 {
			t.Errorf("import %d = %+v, want %+v", i+1, got, want)
		}
	}
	csv += "cid,cid@example.com\n,\ndan,no-address\ncid,o@example.com\nbob2,BOB@example.com\n"
	got := run(t, w.Dir(), w.Env(), csv, "users", "import", "-", "--community", w.community, "--create-community", "-o", "json", "--yes")
	var imported importJSON
	if err := json.Unmarshal([]byte(got.stdout), &imported); err != nil || got.code != 1 {
		t.Fatalf("exit %d, %v: %s", got.code, err, got.stdout)
	}
	var bad []int
	for _, b := range imported.Bad {
		bad = append(bad, b.Line)
		if b.Problem == "" || !strings.Contains(got.stderr, fmt.Sprintf("line %d", b.Line)) {
			t.Errorf("line %d is bad for %q, and stderr says %s", b.Line, b.Problem, got.stderr)
		}
	}
	if imported.Added != 1 || imported.Known != 3 || imported.Updated != 1 || !slices.Equal(bad, []int{6, 7, 8}) {
		t.Errorf("import = %+v, want cid added, bob renamed, and lines 6 to 8 bad", imported)
	}
	var all []userJSON
	w.query(t, &all, "users", "list", "--community", w.community)
	var names []string
	for _, u := range all {
		names = append(names, u.Username)
		if u.Community != w.community || u.Balances["coins"] != "0" || u.Fields == nil {
			t.Errorf("user = %+v", u)
		}
	}
	slices.Sort(names)
	if want := []string{"ann", "bob2", "cid", `o, "dear"`}; !slices.Equal(names, want) {
		t.Errorf("users = %q, want %q", names, want)
	}
}

func TestRotatedKeysOverlap(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addOne)
	rotate := func(flags ...string) string {
		var got webhookJSON
		w.query(t, &got, append([]string{"webhooks", "rotate-key", h.ID}, flags...)...)
		if got.APIKey == "" || got.ID != h.ID {
			t.Fatalf("rotate-key = %+v, want a new key", got)
		}
		return got.APIKey
	}
	status := func(key string) int { return h.post(t, coinsBody("ann", "1"), "X-Api-Key", key).status }
	first := h.APIKey
	second := rotate()
	awaitStatus(t, status, second, http.StatusAccepted)
	if got := status(first); got != http.StatusAccepted {
		t.Errorf("the old key gives %d within the overlap, want 202", got)
	}
	third := rotate("--overlap", "0")
	awaitStatus(t, status, third, http.StatusAccepted)
	for _, old := range []string{first, second} {
		if got := status(old); got != http.StatusUnauthorized {
			t.Errorf("an old key gives %d without an overlap, want 401", got)
		}
	}
}
