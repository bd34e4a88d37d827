package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"testing"
)

// outcomeRow is an outcome with what it changed.
type outcomeRow struct {
	id, status, reason, user string
	logs                     int
	amount                   int64 // signed by the operator
	logUsers                 int   // other users than the outcome's in its logs
}

const outcomesQuery = `
SELECT encode(o.payload_sha256, 'hex'), o.delivery_id, o.status, coalesce(o.reason, ''), coalesce(u.username, ''),
    count(g.delivery_id), coalesce(sum(CASE g.operator WHEN 'add' THEN g.amount ELSE -g.amount END), 0),
    count(*) FILTER (WHERE g.user_id <> o.user_id)
FROM outcomes o
LEFT JOIN users u ON u.id = o.user_id
LEFT JOIN gamification_logs g ON g.delivery_id = o.delivery_id
WHERE o.community = $1
GROUP BY o.delivery_id, u.username`

// outcomes returns all of the community by the payload's SHA-256. Two of one
// payload are an error, for each was sent once.
func (w *world) outcomes(t *testing.T) map[string]outcomeRow {
	t.Helper()
	rows, err := w.db.QueryContext(withDeadline(t), outcomesQuery, w.community)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]outcomeRow{}
	for rows.Next() {
		var sum string
		var o outcomeRow
		if err := rows.Scan(&sum, &o.id, &o.status, &o.reason, &o.user, &o.logs, &o.amount, &o.logUsers); err != nil {
			t.Fatal(err)
		}
		if first, twice := all[sum]; twice {
			t.Errorf("%s and %s have the payload of one request", first.id, o.id)
		}
		all[sum] = o
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// awaitAll waits until every delivery that was accepted has its outcome, and
// nothing is pending.
func (l *load) awaitAll(t *testing.T) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		var n int
		if err := l.db.QueryRowContext(ctx, "SELECT count(*) FROM outcomes WHERE community = $1", l.community).Scan(&n); err != nil {
			return err
		}
		if n < l.deliveries {
			return fmt.Errorf("%d outcomes of %d accepted deliveries", n, l.deliveries)
		}
		return nil
	})
	l.wantNonePending(t)
}

// check sees that everything adds up, once all is settled.
func (l *load) check(t *testing.T) {
	t.Helper()
	l.awaitAll(t)
	outcomes := l.outcomes(t)
	balances := make([]int64, l.users)
	applied, failed, unknown := 0, 0, 0
	for body, sent := range l.sent {
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
		o, stored := outcomes[sum]
		delete(outcomes, sum)
		switch {
		case !stored && sent.id != "":
			t.Errorf("LOST: %s was accepted and has no outcome: %s", sent.id, body)
			continue
		case !stored:
			continue
		case sent.id == "":
			unknown++
		case o.id != sent.id:
			t.Errorf("the outcome of %s names %s", sent.id, o.id)
		}
		switch {
		case o.user != userName(sent.user) || o.logUsers != 0:
			t.Errorf("%s is about %s and %d others, want %s", o.id, o.user, o.logUsers, userName(sent.user))
		case o.status == "success" && o.logs == 1 && o.amount == sent.amount:
			balances[sent.user] += sent.amount
			applied++
		case o.status == "failed" && o.logs == 0 && o.reason == "insufficient_balance" && sent.amount < 0:
			failed++
		default:
			t.Errorf("%s of %d ended %+v", sent.id, sent.amount, o)
		}
	}
	for _, o := range outcomes {
		t.Errorf("%s has an outcome, and nobody sent it", o.id)
	}
	t.Logf("%d requests, %d accepted; %d applied, %d below the minimum; %d stored whose senders got no 202",
		len(l.sent), l.accepted.Load(), applied, failed, unknown)
	l.checkBalances(t, balances)
	l.checkLogs(t)
}

func (l *load) checkBalances(t *testing.T, want []int64) {
	t.Helper()
	var users []userJSON
	l.query(t, &users, "users", "list", "--community", l.community, "--limit", strconv.Itoa(l.users+1))
	if len(users) != l.users {
		t.Fatalf("%d users, want %d", len(users), l.users)
	}
	got := map[string]string{}
	for _, u := range users {
		got[u.Username] = u.Balances["coins"]
	}
	for i, balance := range want {
		if text := strconv.FormatInt(balance, 10); got[userName(i)] != text || balance < 0 {
			t.Errorf("%s has %s coins, want %s, and not below 0", userName(i), got[userName(i)], text)
		}
	}
}

// A balance is what its logs sum up to; each log's balance follows from the one
// before, their numbers have no gap, and none is below 0.
const wrongLogsQuery = `
WITH log AS (
    SELECT g.*,
        lag(g.balance, 1, 0::bigint) OVER account AS before,
        row_number() OVER account AS place,
        lead(g.number) OVER account IS NULL AS last
    FROM gamification_logs g JOIN users u ON u.id = g.user_id
    WHERE u.community = $1
    WINDOW account AS (PARTITION BY g.user_id, g.currency ORDER BY g.number)
)
SELECT count(*) FILTER (WHERE log.balance <> log.before + CASE log.operator WHEN 'add' THEN log.amount ELSE -log.amount END),
    count(*) FILTER (WHERE log.number <> log.place),
    count(*) FILTER (WHERE log.balance < 0),
    count(*) FILTER (WHERE log.last AND (b.amount IS DISTINCT FROM log.balance OR b.entries <> log.number)),
    count(*) FILTER (WHERE o.outcome IS DISTINCT FROM 'applied')
FROM log
LEFT JOIN balances b ON b.user_id = log.user_id AND b.currency = log.currency
LEFT JOIN outcomes o ON o.delivery_id = log.delivery_id`

func (w *world) checkLogs(t *testing.T) {
	t.Helper()
	var broken, gaps, negative, astray, orphans int
	row := w.db.QueryRowContext(withDeadline(t), wrongLogsQuery, w.community)
	if err := row.Scan(&broken, &gaps, &negative, &astray, &orphans); err != nil {
		t.Fatal(err)
	}
	if broken+gaps+negative+astray+orphans > 0 {
		t.Errorf("logs: %d do not follow from the one before, %d numbers with a gap, %d below 0, %d balances of another sum, %d without an applied outcome",
			broken, gaps, negative, astray, orphans)
	}
}
