//go:build measure

package console_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
)

// within and small are what every page keeps to.
const (
	within = 50 * time.Millisecond
	small  = 100 << 10
)

const manyWebhooks = 20

var (
	manyDeliveries = manyOf(1_000_000)
	manyUsers      = max(manyDeliveries/10, 1000)
)

// manyOf is COINHOOK_MEASURE_DELIVERIES: fewer say that the measurement works, and no more.
func manyOf(otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("COINHOOK_MEASURE_DELIVERIES")); err == nil && n >= 10_000 {
		return n
	}
	return otherwise
}

// fillWorld makes the deliveries of the last 30 days, a million: 93 of 100 applied, 3
// duplicates, 2 skipped, 2 failed, of which half are still dead letters.
func fillWorld(t *testing.T, w *world) (hook string) {
	t.Helper()
	var ids []string
	for i := range manyWebhooks {
		ids = append(ids, w.webhook(fmt.Sprint("Shop ", i)).ID)
	}
	conn, err := w.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range []string{
		`SET statement_timeout = 0`,
		`CREATE FUNCTION many_id(ms bigint, n int) RETURNS uuid LANGUAGE sql AS $$
			SELECT (substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid FROM (SELECT lpad(to_hex(ms), 12, '0') AS h) AS x $$`,
		fmt.Sprintf(`INSERT INTO users (id, community, email, email_key)
			SELECT many_id(1700000000000 + n, n), 'default', 'user' || n || '@example.com', 'user' || n || '@example.com' FROM generate_series(1, %d) n`, manyUsers),
		fmt.Sprintf(`INSERT INTO balances (user_id, currency, amount, entries, updated_at) SELECT id, 'coins', 500, 10, now() FROM users`),
		fmt.Sprintf(`INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, outcome, reason, detail, path, user_id, payload_sha256,
				stream_sequence, stream_index, attempts, received_at, finished_at, duplicate_of)
			SELECT many_id(ms, n), 'default', ('{%s}'::text[])[1 + n %% %d], 'Shop ' || n %% %d, 1, CASE WHEN k < 98 THEN 'success' ELSE 'failed' END,
				CASE WHEN k < 93 THEN 'applied' WHEN k < 96 THEN 'duplicate' WHEN k < 98 THEN 'skipped' END,
				CASE WHEN k >= 98 THEN (ARRAY['missing_field', 'user_not_found', 'invalid_amount'])[1 + n %% 3] END, CASE WHEN k >= 98 THEN 'The path order.coins is absent.' END,
				CASE WHEN k >= 98 THEN 'order.coins' END, CASE WHEN k < 98 THEN many_id(1700000000000 + 1 + n %% %d, 1 + n %% %d) END, sha256('{}'), n, 0, 1,
				to_timestamp(ms / 1000.0), to_timestamp(ms / 1000.0) + n %% 100 * interval '1 ms', CASE WHEN k BETWEEN 93 AND 95 THEN many_id(ms, n - 1) END
			FROM (SELECT n, n::bigint * 7919 %% 100 AS k, (extract(epoch FROM now()) * 1000)::bigint - 30 * 86400000::bigint + n * %d::bigint AS ms FROM generate_series(1, %d) n) x`,
			strings.Join(ids, ","), manyWebhooks, manyWebhooks, manyUsers, manyUsers, 30*86400000/manyDeliveries, manyDeliveries-1),
		`INSERT INTO dead_letters (delivery_id, headers, payload, failed_at)
			SELECT delivery_id, '[]', '{"order":{"coins":null}}', finished_at FROM outcomes WHERE status = 'failed' AND stream_sequence % 2 = 0`,
		`INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
			SELECT delivery_id, 1, user_id, CASE stream_sequence % 2 WHEN 0 THEN 'coins' ELSE 'xp' END, stream_sequence, 'add', 50, 500, webhook_id, webhook, finished_at
			FROM outcomes WHERE outcome = 'applied' ORDER BY delivery_id`,
		`TRUNCATE delivery_counts_marks`,
		`VACUUM ANALYZE`, // as autovacuum has a table that grew for a month
	} {
		begun := time.Now()
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		t.Logf("%s: %.40s", time.Since(begun).Round(time.Millisecond), statement)
	}
	counter, begun := postgres.NewDeliveryCounter(w.Store), time.Now()
	for more := true; more; {
		var err error
		if _, more, err = counter.Count(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s: count them all", time.Since(begun).Round(time.Millisecond))
	return ids[3]
}

// measured are things that pages are about: W is a webhook, V a draft, U a user, D a
// duplicate, F and G dead letters, R a run.
func measured(t *testing.T, w *world) map[string]string {
	t.Helper()
	all := map[string]string{"W": fillWorld(t, w)}
	for name, query := range map[string]string{
		"U": fmt.Sprintf(`SELECT user_id FROM outcomes WHERE stream_sequence BETWEEN %d AND %d AND user_id IS NOT NULL LIMIT 1`, manyDeliveries/2, manyDeliveries/2+20),
		"D": `SELECT max(delivery_id::text) FROM outcomes WHERE outcome = 'duplicate'`,
		"F": `SELECT max(delivery_id::text) FROM dead_letters`, "G": `SELECT min(delivery_id::text) FROM dead_letters`,
	} {
		var id string
		if err := w.DB.QueryRow(query).Scan(&id); err != nil {
			t.Fatal(err)
		}
		all[name] = id
	}
	draft := w.webhookOf("{name: A draft, auth: {}}")
	for range 10 {
		w.capture(draft, `{"type": "order.paid", "customer": {"email": "user77@example.com"}, "order": {"id": 1, "coins": 50}}`)
	}
	all["V"] = draft.ID
	if err := w.Store.SetField(t.Context(), "default", applier.Field{Name: "team", Type: applier.Text}); err != nil {
		t.Fatal(err)
	}
	plan := w.admin.get("/dead-letters/discard?id="+all["G"]).Find(`input[name="seen"]`).AttrOr("value", "")
	p := w.admin.post("/dead-letters/discard", url.Values{"id": {all["G"]}, "note": {"measured"}, "seen": {plan}})
	run, ok := strings.CutPrefix(p.header.Get("Location"), "/runs/")
	if !ok {
		t.Fatalf("there is no run: %d %s", p.status, p.text("main"))
	}
	all["R"] = run
	return all
}

// measuredPages are the addresses of each route that is a page, in states that have much to
// show. Those that end in a file are measured, and kept to nothing.
var measuredPages = map[string][]string{
	"/sign-in": {"/sign-in"},
	"/":        {"/", "/?span=24h", "/?span=7d", "/?span=30d"},
	"/search":  {"/search?q={D}", "/search?q=user77@example.com", "/search?q=user77", "/search?q=nothing-is-like-this"},
	"/account": {"/account"}, "/accounts": {"/accounts"},
	"/webhooks": {"/webhooks", "/webhooks?sort=dead", "/webhooks?sort=last"}, "/webhooks/new": {"/webhooks/new", "/webhooks/new?sender=github"},
	"/webhooks/:id": {"/webhooks/{W}", "/webhooks/{V}"}, "/webhooks/:id/deliveries": {"/webhooks/{W}/deliveries", "/webhooks/{W}/deliveries?status=failed"},
	"/webhooks/:id/mapping": {"/webhooks/{W}/mapping"}, "/webhooks/:id/sample": {"/webhooks/{W}/sample", "/webhooks/{V}/sample"},
	"/webhooks/:id/rejections": {"/webhooks/{W}/rejections"}, "/webhooks/:id/settings": {"/webhooks/{W}/settings"},
	"/webhooks/:id/versions": {"/webhooks/{W}/versions"}, "/webhooks/:id/test": {"/webhooks/{W}/test"},
	"/deliveries": {
		"/deliveries", "/deliveries?span=24h", "/deliveries?span=7d", "/deliveries?status=failed", "/deliveries?status=success&outcome=duplicate",
		"/deliveries?outcome=skipped&webhook={W}", "/deliveries?webhook={W}", "/deliveries?status=failed&webhook={W}", "/deliveries?reason=user_not_found",
		"/deliveries?user={U}", "/deliveries?user=user77@example.com", "/deliveries?key=A-1", "/deliveries?before={D}", "/deliveries?status=pending",
	},
	"/deliveries/:id": {
		"/deliveries/{D}", "/deliveries/{F}", "/deliveries/{F}?tab=payload", "/deliveries/{D}?tab=changes", "/deliveries/{F}?tab=runs",
	},
	"/deliveries/:id/revert": {"/deliveries/{D}/revert"}, "/deliveries/compare": {"/deliveries/compare?id={F}&with={D}"},
	"/dead-letters": {"/dead-letters", "/dead-letters?webhook={W}"}, "/dead-letters/list": {"/dead-letters/list", "/dead-letters/list?reason=user_not_found"},
	"/dead-letters/replay": {"/dead-letters/replay?id={F}"}, "/dead-letters/discard": {"/dead-letters/discard?id={F}"}, "/runs/:id": {"/runs/{R}"},
	"/logs":  {"/logs", "/logs?span=24h", "/logs?currency=xp", "/logs?webhook={W}", "/logs?user={U}"},
	"/users": {"/users", "/users?search=user77", "/users?sort=email"}, "/users/:id": {"/users/{U}"},
	"/settings": {"/settings"}, "/settings/fields/:name/delete": {"/settings/fields/team/delete"}, "/trail": {"/trail"},
}

// measuredFiles are the files, each of a part of what there is.
var measuredFiles = map[string]string{
	"/deliveries.csv": "/deliveries.csv?span=24h", "/dead-letters.csv": "/dead-letters.csv?webhook={W}", "/dead-letters/export": "/dead-letters/export?webhook={W}",
	"/logs.csv": "/logs.csv?span=24h", "/users.csv": "/users.csv?search=user77", "/trail.csv": "/trail.csv", "/webhooks/:id/export": "/webhooks/{W}/export",
	"/deliveries/:id/payload": "/deliveries/{F}/payload",
}

// notMeasured are no pages of the console's.
var notMeasured = []string{"/healthz", "/readyz", "/static/:name", "/live"}

// TestPagesOfAMillionDeliveries measures the answer of each page, from the request to its
// last byte: the least and the median of nine, in ms, and the size, plain and compressed,
// in KiB. `make measure-console` runs it. Then a browser says when it has painted each.
func TestPagesOfAMillionDeliveries(t *testing.T) {
	w := newWorld(t)
	for route := range w.console.Needs() {
		path, isGet := strings.CutPrefix(route, "GET ")
		if isGet && measuredPages[path] == nil && measuredFiles[path] == "" && !slices.Contains(notMeasured, path) {
			t.Errorf("%s is not measured: name an address of it", path)
		}
	}
	things := measured(t, w)
	fill := func(address string) string {
		for name, value := range things {
			address = strings.ReplaceAll(address, "{"+name+"}", value)
		}
		return address
	}
	row := func(address string, bounded bool) {
		b := w.admin
		if address == "/sign-in" {
			b = w.browser() // others have no use for it
		}
		times, size, sent := b.measure(t, fill(address))
		t.Logf("| `%s` | %.1f | %.1f | %.0f | %.1f |", address, ms(times[0]), ms(times[len(times)/2]), float64(size)/1024, float64(sent)/1024)
		if bounded && (times[len(times)/2] > within || size > small) {
			t.Errorf("%s takes %s and has %d bytes", address, times[len(times)/2], size)
		}
	}
	var pages []string
	for _, route := range slices.Sorted(maps.Keys(measuredPages)) {
		for _, address := range measuredPages[route] {
			row(address, true)
			if route != "/webhooks/:id/sample" && route != "/sign-in" { // a part of a page, and what leads away
				pages = append(pages, fill(address))
			}
		}
	}
	for _, route := range slices.Sorted(maps.Keys(measuredFiles)) {
		row(measuredFiles[route], false)
	}
	w.paint(t, pages)
}

// paint has a browser open the pages. Its test is where the browser is: this module has none.
func (w *world) paint(t *testing.T, pages []string) {
	t.Helper()
	list := filepath.Join(t.TempDir(), "pages")
	if err := os.WriteFile(list, []byte(strings.Join(pages, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout", "30m", "-v", "-run", "^TestPaint$", "github.com/coinhook/coinhook/pkg/dev/e2e")
	cmd.Env = append(os.Environ(), "COINHOOK_PAINT_URL="+w.url, "COINHOOK_PAINT_PAGES="+list, "COINHOOK_PAINT_NAME=anna", "COINHOOK_PAINT_PASSWORD="+password,
		"COINHOOK_BIN_DIR="+t.TempDir()) // it needs no programs
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("paint: %v", err)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measure asks several times. size is that of the page, sent what goes over the wire.
func (b *browser) measure(t *testing.T, path string) (times []time.Duration, size, sent int) {
	t.Helper()
	for range 9 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip")
		begun := time.Now()
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
		}
		times = append(times, time.Since(begun))
		resp.Body.Close()
		sent, size = len(body), len(body)
		if resp.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(string(body)))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			size = len(plain)
		}
	}
	slices.Sort(times)
	return times, size, sent
}
