//go:build measure

package console_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
)

const (
	manyDeliveries = 1_000_000
	manyWebhooks   = 20
	manyUsers      = 100_000
	// within and small are what every page keeps to.
	within = 50 * time.Millisecond
	small  = 100 << 10
)

// fillWorld makes a million deliveries of the last 30 days: 93 of 100 applied, 3
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
			FROM (SELECT n, n::bigint * 7919 %% 100 AS k, (extract(epoch FROM now()) * 1000)::bigint - 30 * 86400000::bigint + n * 2592::bigint AS ms FROM generate_series(1, %d) n) x`,
			strings.Join(ids, ","), manyWebhooks, manyWebhooks, manyUsers, manyUsers, manyDeliveries-1),
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

// TestPagesOfAMillionDeliveries measures the answer of each page, from the request to its
// last byte: the least and the median of nine, in ms, and the size, plain and compressed,
// in KiB. `make measure-console` runs it.
func TestPagesOfAMillionDeliveries(t *testing.T) {
	w := newWorld(t)
	hook := fillWorld(t, w)
	var user, duplicate, failed string
	if err := w.DB.QueryRow(`SELECT (SELECT user_id FROM outcomes WHERE stream_sequence = 500000), (SELECT max(delivery_id::text) FROM outcomes WHERE outcome = 'duplicate'),
		(SELECT max(delivery_id::text) FROM dead_letters)`).Scan(&user, &duplicate, &failed); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/", "/?span=24h", "/?span=7d", "/?span=30d", "/webhooks", "/webhooks/" + hook,
		"/deliveries", "/deliveries?span=24h", "/deliveries?span=7d", "/deliveries?status=failed", "/deliveries?status=success&outcome=duplicate",
		"/deliveries?outcome=skipped&webhook=" + hook, "/deliveries?webhook=" + hook, "/deliveries?status=failed&webhook=" + hook, "/deliveries?reason=user_not_found",
		"/deliveries?user=" + user, "/deliveries?user=user77@example.com", "/deliveries?key=A-1", "/deliveries?before=" + duplicate, "/deliveries?status=pending",
		"/deliveries/" + duplicate, "/deliveries/" + failed + "?tab=payload",
		"/dead-letters", "/dead-letters?webhook=" + hook, "/dead-letters/list", "/dead-letters/list?reason=user_not_found",
		"/logs", "/logs?span=24h", "/logs?currency=xp", "/logs?webhook=" + hook, "/logs?user=" + user,
		"/users", "/users?search=user77", "/users/" + user, "/search?q=" + duplicate, "/search?q=user77@example.com", "/search?q=user77", "/search?q=nothing-is-like-this",
		"/settings", "/trail",
	} {
		times, size, sent := w.admin.measure(t, path)
		t.Logf("| `%s` | %.1f | %.1f | %.0f | %.1f |", strings.NewReplacer(hook, "W", user, "U", duplicate, "D", failed, "D").Replace(path), ms(times[0]), ms(times[len(times)/2]), float64(size)/1024, float64(sent)/1024)
		if times[len(times)/2] > within || size > small {
			t.Errorf("%s takes %s and has %d bytes", path, times[len(times)/2], size)
		}
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
