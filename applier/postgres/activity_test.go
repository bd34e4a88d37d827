package postgres_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func userID(tb testing.TB, s *postgres.Store, email string) delivery.ID {
	tb.Helper()
	u, err := s.FindUser(tb.Context(), community, email)
	if err != nil {
		tb.Fatal(err)
	}
	return u.ID
}

// entry is one change of a balance.
type entry struct {
	currency string
	amount   int64 // negative if it was subtracted
	at       time.Time
}

// addHistory gives a user entries. They are written past Settle, which has no say
// in the time; they are to be about in its order, as they are there.
func addHistory(tb testing.TB, db *sql.DB, user delivery.ID, entries ...entry) {
	tb.Helper()
	balances, numbers := map[string]int64{}, map[string]int{}
	for _, e := range entries {
		balances[e.currency] += e.amount
		numbers[e.currency]++
		operator := "add"
		if e.amount < 0 {
			operator, e.amount = "subtract", -e.amount
		}
		_, err := db.ExecContext(tb.Context(), `INSERT INTO gamification_logs
			(delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
			VALUES ($1, 1, $2, $3, $4, $5, $6, $7, 'wh_a', 'Shop', $8)`,
			delivery.NewID().String(), user.String(), e.currency, numbers[e.currency], operator, e.amount, balances[e.currency], e.at)
		if err != nil {
			tb.Fatal(err)
		}
	}
	for currency, balance := range balances {
		_, err := db.ExecContext(tb.Context(), `INSERT INTO balances (user_id, currency, amount, entries, updated_at) VALUES ($1, $2, $3, $4, now())`,
			user.String(), currency, balance, numbers[currency])
		if err != nil {
			tb.Fatal(err)
		}
	}
}

const sumQuery = `
SELECT coalesce(sum(CASE operator WHEN 'add' THEN amount ELSE -amount END), 0)::text FROM gamification_logs
WHERE user_id = $1 AND currency = $2 AND at >= $3 AND at < $4`

// TestActivitiesAreTheSums: whatever there is, whichever stretch, and however
// much of the old end was deleted.
func TestActivitiesAreTheSums(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	run := 0
	start := time.Date(2025, 12, 22, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		run++
		email := fmt.Sprintf("a%d@x", run)
		addUsers(t, s, email)
		user := userID(t, s, email)
		if _, err := db.ExecContext(t.Context(), `DELETE FROM gamification_logs`); err != nil {
			rt.Fatal(err)
		}
		balances, at := map[string]int64{"xp": 0, "coins": 0}, start
		var entries []entry
		for range rapid.IntRange(0, 24).Draw(rt, "entries") {
			at = at.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "hours")) * time.Hour)
			e := entry{rapid.SampledFrom([]string{"xp", "coins"}).Draw(rt, "currency"), rapid.Int64Range(-9, 9).Draw(rt, "amount"), at}
			entries = append(entries, e)
			balances[e.currency] += e.amount
		}
		addHistory(t, db, user, entries...)
		if _, err := db.ExecContext(t.Context(), `DELETE FROM gamification_logs WHERE user_id = $1 AND number <= $2`,
			user.String(), rapid.IntRange(0, 13).Draw(rt, "deleted")); err != nil {
			rt.Fatal(err)
		}
		since := start.Add(time.Duration(rapid.IntRange(-2, 30).Draw(rt, "since")) * time.Hour)
		until := since.Add(time.Duration(rapid.IntRange(0, 30).Draw(rt, "long")) * time.Hour)
		got, err := s.Activities(t.Context(), []delivery.ID{user}, since, until)
		if err != nil {
			rt.Fatal(err)
		}
		want := map[string]postgres.Activity{}
		for currency, balance := range balances {
			a := postgres.Activity{Balance: balance}
			if err := db.QueryRowContext(t.Context(), sumQuery, user.String(), currency, since, until).Scan(&a.Net); err != nil {
				rt.Fatal(err)
			}
			want[currency] = a
		}
		if diff := cmp.Diff(want, got[user]); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestActivitiesBeyond64Bits(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "a@x", "b@x")
	user, day := userID(t, s, "a@x"), time.Date(2025, 12, 22, 0, 0, 0, 0, time.UTC)
	const most = 9223372036854775807
	addHistory(t, db, user, entry{"coins", -most, day.Add(-time.Hour)}, entry{"coins", most, day}, entry{"coins", most, day})
	got, err := s.Activities(t.Context(), []delivery.ID{user, userID(t, s, "b@x")}, day, day.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	nothing := postgres.Activity{Net: "0"}
	want := map[delivery.ID]map[string]postgres.Activity{
		user:                {"coins": {Balance: most, Net: "18446744073709551614"}, "xp": nothing},
		userID(t, s, "b@x"): {"coins": nothing, "xp": nothing},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A hundred users of whom each has a thousand entries on the day: their entries
// are not read one by one.
func TestActivitiesOfManyEntriesGoThroughTheIndex(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	var emails []string
	for n := range 100 {
		emails = append(emails, fmt.Sprintf("u%d@x", n))
	}
	addUsers(t, s, emails...)
	for _, statement := range []string{
		`INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
		SELECT gen_random_uuid(), 1, u.id, 'coins', n, 'add', 1, n, 'wh_a', 'Shop', timestamptz '2025-12-22 00:00Z' + n * interval '1 minute'
		FROM users u, generate_series(1, 1000) AS n ORDER BY n`,
		`INSERT INTO balances (user_id, currency, amount, entries, updated_at) SELECT id, 'coins', 1000, 1000, now() FROM users`,
		`ANALYZE gamification_logs, balances, users`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.FindNames(t.Context(), community, webhook.ByEmail, append(emails, "nobody@x"))
	if err != nil || len(found) != len(emails) {
		t.Fatalf("found %d users: %v", len(found), err)
	}
	var ids []string
	var users []delivery.ID
	for _, id := range found {
		ids, users = append(ids, id.String()), append(users, id)
	}
	day := time.Date(2025, 12, 22, 0, 0, 0, 0, time.UTC)
	plan := explain(t, db, postgres.ActivityQuery, []any{"{" + strings.Join(ids, ",") + "}", "xp coins", day, day.Add(24 * time.Hour), 0, 1 << 20})
	if strings.Contains(plan, "Seq Scan on gamification_logs") {
		t.Error(plan)
	}
	got, err := s.Activities(t.Context(), users, day, day.Add(10*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range users {
		if a := got[id]["coins"]; a.Net != "599" || a.Balance != 1000 {
			t.Errorf("%s: %+v", id, a)
		}
	}
}
