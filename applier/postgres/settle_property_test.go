package postgres_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// checkLedger asserts what must hold whatever happened.
func checkLedger(tb testing.TB, db *sql.DB) {
	tb.Helper()
	for what, query := range map[string]string{
		"balances that are not the sum of their logs": `
			SELECT count(*) FROM balances b WHERE (amount, entries) <> (
				SELECT sum(CASE operator WHEN 'add' THEN l.amount ELSE -l.amount END), count(*)
				FROM gamification_logs l WHERE (l.user_id, l.currency) = (b.user_id, b.currency))`,
		"logs whose balance does not follow from the one before": `
			SELECT count(*) FROM (
				SELECT balance - CASE operator WHEN 'add' THEN amount ELSE -amount END AS before, number,
					coalesce(lag(balance) OVER account, 0) AS balance_before, coalesce(lag(number) OVER account, 0) AS number_before
				FROM gamification_logs WINDOW account AS (PARTITION BY user_id, currency ORDER BY number)) l
			WHERE before <> balance_before OR number <> number_before + 1`,
		"logs without an applied delivery": `
			SELECT count(*) FROM gamification_logs l WHERE NOT EXISTS (
				SELECT FROM outcomes o WHERE o.delivery_id = l.delivery_id AND o.outcome = 'applied')`,
		"failed deliveries without a dead letter": `
			SELECT count(*) FROM outcomes o WHERE status = 'failed' AND NOT EXISTS (
				SELECT FROM dead_letters d WHERE d.delivery_id = o.delivery_id)`,
		"dead letters of deliveries that did not fail": `
			SELECT count(*) FROM dead_letters d WHERE NOT EXISTS (
				SELECT FROM outcomes o WHERE o.delivery_id = d.delivery_id AND status = 'failed')`,
		"idempotency keys whose delivery was not applied": `
			SELECT count(*) FROM idempotency_keys k WHERE NOT EXISTS (
				SELECT FROM outcomes o WHERE o.delivery_id = k.delivery_id AND o.outcome = 'applied' AND o.webhook_id = k.webhook_id)`,
		"duplicates of a delivery that was not applied": `
			SELECT count(*) FROM outcomes d WHERE d.outcome = 'duplicate' AND NOT EXISTS (
				SELECT FROM outcomes o WHERE o.delivery_id = d.duplicate_of AND o.outcome = 'applied' AND o.webhook_id = d.webhook_id)`,
		"custom fields set by a delivery that was not applied": `
			SELECT count(*) FROM field_history h WHERE NOT EXISTS (
				SELECT FROM outcomes o WHERE o.delivery_id = h.delivery_id AND o.outcome = 'applied')`,
		"custom fields whose value is not the latest in the stream": `
			SELECT count(*) FROM user_fields f WHERE (value, delivery_id, stream_epoch, stream_sequence, stream_index) IS DISTINCT FROM (
				SELECT (h.value, h.delivery_id, h.stream_epoch, h.stream_sequence, h.stream_index) FROM field_history h
				WHERE (h.user_id, h.field) = (f.user_id, f.field) AND h.ordinal > 0
					AND NOT EXISTS (SELECT FROM reverts r WHERE r.delivery_id = h.delivery_id)
				ORDER BY h.stream_epoch DESC, h.stream_sequence DESC, h.stream_index DESC LIMIT 1)`,
		"histories of custom fields without a value": `
			SELECT count(*) FROM field_history h WHERE h.ordinal > 0
				AND NOT EXISTS (SELECT FROM reverts r WHERE r.delivery_id = h.delivery_id)
				AND NOT EXISTS (SELECT FROM user_fields f WHERE (f.user_id, f.field) = (h.user_id, h.field))`,
		"values of custom fields whose delivery is reverted": `
			SELECT count(*) FROM user_fields f JOIN reverts r USING (delivery_id)`,
		"balances that reverted deliveries count in": `
			SELECT count(*) FROM balances b WHERE amount <> (
				SELECT coalesce(sum(CASE operator WHEN 'add' THEN l.amount ELSE -l.amount END), 0)
				FROM gamification_logs l WHERE (l.user_id, l.currency) = (b.user_id, b.currency)
					AND NOT EXISTS (SELECT FROM reverts r WHERE r.delivery_id = l.delivery_id))`,
		"reverts of deliveries that were not applied": `
			SELECT count(*) FROM reverts r WHERE NOT EXISTS (
				SELECT FROM outcomes o WHERE o.delivery_id = r.delivery_id AND o.outcome = 'applied')`,
		"entries of reverted deliveries without their opposite": `
			SELECT count(*) FROM reverts r JOIN gamification_logs l USING (delivery_id) WHERE NOT EXISTS (
				SELECT FROM gamification_logs o
				WHERE (o.delivery_id, o.ordinal, o.user_id, o.currency, o.amount) = (l.delivery_id, -l.ordinal, l.user_id, l.currency, l.amount)
					AND o.operator <> l.operator)`,
		"opposite entries of deliveries that are not reverted": `
			SELECT count(*) FROM (
				SELECT delivery_id FROM gamification_logs WHERE ordinal < 0
				UNION ALL
				SELECT delivery_id FROM field_history WHERE ordinal < 0) l
			WHERE NOT EXISTS (SELECT FROM reverts r WHERE r.delivery_id = l.delivery_id)`,
	} {
		if n := count(tb, db, query); n != 0 {
			tb.Errorf("%d %s", n, what)
		}
	}
}

// TestSettleDoesNotDependOnTheBatches: cut into any batches, with any of them
// repeated, a list of deliveries has the same outcomes and balances.
func TestSettleDoesNotDependOnTheBatches(t *testing.T) {
	t.Parallel()
	one, _ := postgrestest.Open(t, postgres.Options{})
	other, db := postgrestest.Open(t, postgres.Options{})
	for _, s := range []*postgres.Store{one, other} {
		setField(t, s, "team", applier.Text)
		setField(t, s, "size", applier.Text)
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		emails := []string{fmt.Sprintf("a%d@x", run), fmt.Sprintf("b%d@x", run)}
		addUsers(t, one, emails...)
		addUsers(t, other, emails...)
		var items []applier.Item
		for range rapid.IntRange(1, 12).Draw(rt, "deliveries") {
			var changes []applier.Change
			for range rapid.IntRange(0, 3).Draw(rt, "changes") {
				changes = append(changes, change(
					rapid.SampledFrom([]webhook.Operator{webhook.Add, webhook.Subtract}).Draw(rt, "operator"),
					rapid.SampledFrom([]string{"xp", "coins"}).Draw(rt, "currency"), rapid.Int64Range(1, 9).Draw(rt, "amount")))
			}
			email := rapid.SampledFrom(append(emails, "nobody@x")).Draw(rt, "user")
			item := plan(t, email, changes...)
			drawKeyAndFields(rt, &item, run)
			items = append(items, item)
		}
		want := settle(t, one, items...)
		var got []applier.Settlement
		for rest := items; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
			got = append(got, settle(t, other, rest[:n]...)...)
			if rapid.Bool().Draw(rt, "repeated") {
				settle(t, other, rest[:n]...)
			}
			rest = rest[n:]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
		for _, email := range emails {
			if diff := cmp.Diff(balances(t, one, email), balances(t, other, email)); diff != "" {
				rt.Fatal(diff)
			}
			if diff := cmp.Diff(fields(t, one, email), fields(t, other, email)); diff != "" {
				rt.Fatal(diff)
			}
		}
	})
	checkLedger(t, db)
}

// drawKeyAndFields gives a delivery a place in the stream, maybe a key that
// others have too, and maybe custom fields.
func drawKeyAndFields(t *rapid.T, item *applier.Item, run int) {
	item.Delivery.Position = delivery.Position{Sequence: rapid.Uint64Range(1, 9).Draw(t, "sequence"), Index: int(item.Delivery.ID[15]) + 256*int(item.Delivery.ID[14])}
	if rapid.Bool().Draw(t, "has a key") {
		withKey(item, fmt.Sprint(run, rapid.IntRange(1, 3).Draw(t, "key")), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "body"))
	}
	item.Plan.Skip = rapid.IntRange(0, 9).Draw(t, "skip") == 0
	for i, name := range []string{"team", "size"} {
		if rapid.Bool().Draw(t, name) {
			value := rapid.SampledFrom([]string{"", "red", "\"{\\"}).Draw(t, "value")
			item.Plan.Fields = append(item.Plan.Fields, applier.FieldChange{Field: name, Value: value, Revision: int64(i + 1)})
		}
	}
}
