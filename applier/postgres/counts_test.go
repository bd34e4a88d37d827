package postgres_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// addOutcome writes an outcome that a delivery had after a while. outcome is empty for
// one that failed.
func addOutcome(t *testing.T, db executor, id delivery.ID, webhook, outcome string, took time.Duration) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), `
INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, outcome, reason, payload_sha256, stream_sequence, stream_index, attempts, received_at, finished_at, duplicate_of)
VALUES ($1, 'c-' || $2, $2, 'Shop', 1, CASE $3 WHEN '' THEN 'failed' ELSE 'success' END, nullif($3, ''), CASE $3 WHEN '' THEN 'user_not_found' END, '', 1, 0, 1, $4, $5, CASE $3 WHEN 'duplicate' THEN $6::uuid END)`,
		id.String(), webhook, outcome, id.Time(), id.Time().Add(took), delivery.NewID().String()); err != nil {
		t.Fatal(err)
	}
}

func countAll(t *testing.T, c *postgres.DeliveryCounter) {
	t.Helper()
	for more := true; more; {
		var err error
		if _, more, err = c.Count(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// totals are what Counts says of each webhook, and how many times it has.
func totals(t *testing.T, s *postgres.Store, from, to time.Time, step time.Duration) (all map[string]postgres.Count, times int64) {
	t.Helper()
	counted, err := s.Counts(t.Context(), postgres.CountFilter{}, from, to, step)
	if err != nil {
		t.Fatal(err)
	}
	if !counted.Since.IsZero() {
		t.Fatalf("it is counted since %s only", counted.Since)
	}
	all = map[string]postgres.Count{}
	var sum, steps postgres.Count
	for _, w := range counted.Webhooks {
		all[w.WebhookID] = w.Count
		sum.Applied, sum.Duplicate, sum.Skipped, sum.Failed = sum.Applied+w.Applied, sum.Duplicate+w.Duplicate, sum.Skipped+w.Skipped, sum.Failed+w.Failed
	}
	for _, one := range counted.Steps {
		steps.Applied, steps.Duplicate, steps.Skipped, steps.Failed = steps.Applied+one.Applied, steps.Duplicate+one.Duplicate, steps.Skipped+one.Skipped, steps.Failed+one.Failed
		for _, b := range one.Times {
			times += b.Count
		}
	}
	if sum != steps {
		t.Errorf("the webhooks are %+v together, the steps %+v", sum, steps)
	}
	return all, times
}

// reallyThere counts the rows.
func reallyThere(t *testing.T, db *sql.DB, from, to time.Time) (all map[string]postgres.Count, times int64) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `
SELECT webhook_id, count(*) FILTER (WHERE outcome = 'applied'), count(*) FILTER (WHERE outcome = 'duplicate'), count(*) FILTER (WHERE outcome = 'skipped'),
    count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE replays = 0)
FROM outcomes WHERE delivery_id >= $1 AND delivery_id < $2 GROUP BY 1`, firstAt(from).String(), firstAt(to).String())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all = map[string]postgres.Count{}
	for rows.Next() {
		var id string
		var c postgres.Count
		var n int64
		if err := rows.Scan(&id, &c.Applied, &c.Duplicate, &c.Skipped, &c.Failed, &n); err != nil {
			t.Fatal(err)
		}
		all[id], times = c, times+n
	}
	return all, times
}

func firstAt(at time.Time) (id delivery.ID) {
	first := idAt(at)
	copy(id[:6], first[:6])
	return id
}

// Whatever is written, changed and removed, by whom, and whenever the job runs: the
// counts are those of the rows.
func TestCountsAreThoseOfTheRows(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	now := time.Now().UTC().Truncate(time.Minute)
	random := rand.New(rand.NewPCG(1, 2))
	counter := postgres.NewDeliveryCounter(s)
	var ids []delivery.ID
	var open *sql.Tx // one that somebody else has not committed yet
	outcomes := []string{"applied", "applied", "duplicate", "skipped", ""}
	add := func(to executor) {
		ago := time.Duration(random.Int64N(int64(6 * time.Hour)))
		if random.IntN(3) == 0 {
			ago = time.Duration(random.Int64N(int64(2 * time.Minute)))
		}
		id := idAt(now.Add(time.Minute - ago))
		ids = append(ids, id)
		addOutcome(t, to, id, fmt.Sprint("wh", random.IntN(3)), outcomes[random.IntN(len(outcomes))], time.Duration(random.Int64N(int64(time.Hour))))
	}
	for range 300 {
		switch random.IntN(8) {
		case 0, 1, 2:
			add(db)
		case 3: // a replay
			if len(ids) > 0 {
				execute(t, db, `UPDATE outcomes SET status = 'success', outcome = 'applied', reason = NULL, replays = replays + 1 WHERE status = 'failed' AND delivery_id = '`+ids[random.IntN(len(ids))].String()+`'`)
			}
		case 4:
			if len(ids) > 0 && random.IntN(4) == 0 {
				execute(t, db, `DELETE FROM outcomes WHERE delivery_id = '`+ids[random.IntN(len(ids))].String()+`'`)
			}
		case 5:
			if open == nil {
				var err error
				if open, err = db.BeginTx(context.Background(), nil); err != nil {
					t.Fatal(err)
				}
			}
			add(open)
		case 6:
			if open != nil {
				if err := open.Commit(); err != nil {
					t.Fatal(err)
				}
				open = nil
			}
		case 7:
			if _, _, err := counter.Count(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if open != nil {
		if err := open.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	to := now.Add(2 * time.Minute)
	for _, step := range []time.Duration{time.Minute, 15 * time.Minute, 12 * time.Hour} {
		from := now.Add(-7 * time.Hour).Truncate(step)
		countAll(t, counter)
		got, gotTimes := totals(t, s, from, to, step)
		want, wantTimes := reallyThere(t, db, from, to)
		if diff := gocmp.Diff(want, got); diff != "" || gotTimes != wantTimes {
			t.Errorf("by %s, %d times, want %d:\n%s", step, gotTimes, wantTimes, diff)
		}
	}
	for range 20 { // spans that begin and end with any minute, also while some of it is not counted
		from := now.Add(-time.Duration(random.IntN(7*60)) * time.Minute)
		to := from.Add(time.Duration(random.IntN(7*60)) * time.Minute)
		rows, _ := reallyThere(t, db, from, to)
		got, since, err := s.Total(t.Context(), postgres.CountFilter{}, from, to)
		if want := sumOf(rows); err != nil || got != want || !since.IsZero() {
			t.Errorf("from %s to %s %+v since %s, want %+v: %v", from, to, got, since, want, err)
		}
		one, _, err := s.Total(t.Context(), postgres.CountFilter{WebhookID: "wh1", Communities: []string{"c-wh1"}}, from, to)
		if err != nil || one != rows["wh1"] {
			t.Errorf("of a webhook %+v, want %+v: %v", one, rows["wh1"], err)
		}
	}
}

func sumOf(all map[string]postgres.Count) (sum postgres.Count) {
	for _, c := range all {
		sum.Applied, sum.Duplicate, sum.Skipped, sum.Failed = sum.Applied+c.Applied, sum.Duplicate+c.Duplicate, sum.Skipped+c.Skipped, sum.Failed+c.Failed
	}
	return sum
}

// The counts of seven days are read from a few coarse rows a webhook.
func TestATotalReadsTheCoarsestCounts(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		t.Helper()
		when, err := time.Parse("02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for name, tc := range map[string]struct {
		from, to string
		want     []string
	}{
		"days":                      {"03 02:59", "10 07:16", []string{"1m0s 03 02:59 03 03:00", "3h0m0s 03 03:00 10 06:00", "15m0s 10 06:00 10 07:15", "1m0s 10 07:15 10 07:16"}},
		"minutes within a quarter":  {"03 02:01", "03 02:03", []string{"1m0s 03 02:01 03 02:03"}},
		"minutes over a quarter":    {"03 02:14", "03 02:16", []string{"1m0s 03 02:14 03 02:16"}},
		"quarters over three hours": {"03 02:45", "03 03:15", []string{"15m0s 03 02:45 03 03:15"}},
		"three hours":               {"03 03:00", "03 06:00", []string{"3h0m0s 03 03:00 03 06:00"}},
		"nothing":                   {"03 03:00", "03 03:00", nil},
	} {
		if diff := gocmp.Diff(tc.want, postgres.InPieces(at(tc.from), at(tc.to))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// A row that was written in time and is committed late is counted all the same.
func TestACountWaitsForTransactionsThatHaveWritten(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	id := idAt(time.Now())
	addOutcome(t, tx, id, "wh", "applied", time.Second)
	counter := postgres.NewDeliveryCounter(s)
	counter.SetAhead(10 * time.Minute)
	for range 3 {
		countAll(t, counter)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "SELECT count(*) FROM delivery_counts_marks"); n != 0 {
		t.Errorf("it marked %d minutes", n)
	}
	// Other tests write to the same server, and the counter waits for those, too.
	counted := func() int {
		return count(t, db, "SELECT coalesce(sum(applied), 0) FROM delivery_counts WHERE step = 1")
	}
	eventually(t, func() error {
		countAll(t, counter)
		if n := counted(); n != 1 {
			return fmt.Errorf("%d are counted, want 1", n)
		}
		return nil
	})
	minute := id.Time().UTC().Truncate(time.Minute)
	if got, _ := totals(t, s, minute, minute.Add(15*time.Minute), time.Minute); got["wh"] != (postgres.Count{Applied: 1}) {
		t.Errorf("it counts %+v", got)
	}
}

// The rows that one transaction writes late mark each of their minutes once.
func TestLateRowsOfOneTransactionMarkAMinuteOnce(t *testing.T) {
	t.Parallel()
	_, db := postgrestest.Open(t, postgres.Options{})
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(-time.Hour).Truncate(time.Minute)
	for i := range 6 {
		addOutcome(t, tx, idAt(hour.Add(time.Duration(i)*20*time.Second)), "wh", "applied", time.Second)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "SELECT count(*) FROM delivery_counts_marks"); n != 2 {
		t.Errorf("it marked %d minutes, want 2", n)
	}
}

// After an update to this version the counts go back bit by bit, and say how far.
func TestCountsSayHowFarBackTheyGo(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	now := time.Now().UTC().Truncate(time.Minute)
	for _, ago := range []time.Duration{time.Minute, 90 * time.Minute, 20 * 24 * time.Hour} {
		addOutcome(t, db, idAt(now.Add(-ago)), "wh", "", time.Second)
	}
	counter := postgres.NewDeliveryCounter(s)
	if _, more, err := counter.Count(t.Context()); err != nil || !more {
		t.Fatalf("more: %t, %v", more, err)
	}
	counted, err := s.Counts(t.Context(), postgres.CountFilter{}, now.Add(-30*24*time.Hour), now.Add(time.Minute), time.Minute)
	if since := now.Sub(counted.Since); err != nil || since < time.Minute || since > 4*time.Hour {
		t.Errorf("it is counted since %s: %v", counted.Since, err)
	}
	countAll(t, counter)
	if got, _ := totals(t, s, now.Add(-30*24*time.Hour).Truncate(3*time.Hour), now.Add(time.Minute), 3*time.Hour); got["wh"] != (postgres.Count{Failed: 3}) {
		t.Errorf("it counts %+v", got)
	}
}

func TestCountsTellHowLongDeliveriesTook(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	hour := time.Now().UTC().Add(-time.Hour).Truncate(15 * time.Minute)
	for i, took := range []time.Duration{0, 999 * time.Microsecond, 1400 * time.Microsecond, 1500 * time.Microsecond, time.Second, 200 * time.Second, 48 * time.Hour} {
		addOutcome(t, db, idAt(hour.Add(time.Duration(i)*time.Second)), "wh", "applied", took)
	}
	want := []postgres.TimeBucket{{1, 3}, {2, 1}, {19, 1}, {32, 1}, {postgres.TimeBuckets, 1}}
	counter := postgres.NewDeliveryCounter(s)
	countAll(t, counter)
	execute(t, db, `INSERT INTO delivery_counts_marks SELECT to_timestamp(0)`) // nothing comes of it
	for range 2 {
		counted, err := s.Counts(t.Context(), postgres.CountFilter{Communities: []string{"c-wh"}, WebhookID: "wh"}, hour, hour.Add(time.Hour), 15*time.Minute)
		if err != nil || len(counted.Steps) != 1 {
			t.Fatalf("%+v: %v", counted, err)
		}
		got := counted.Steps[0].Times
		slices.SortFunc(got, func(a, b postgres.TimeBucket) int { return cmp.Compare(a.Bucket, b.Bucket) })
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		countAll(t, counter)
	}
	for _, f := range []postgres.CountFilter{{Communities: []string{}}, {WebhookID: "other"}} {
		if counted, err := s.Counts(t.Context(), f, hour, hour.Add(time.Hour), time.Hour); err != nil || len(counted.Webhooks) != 0 {
			t.Errorf("%+v: %+v, %v", f, counted, err)
		}
	}
}
