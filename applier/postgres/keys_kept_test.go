package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// rerun is a dead letter as it is published again.
func rerun(i applier.Item) applier.Item {
	d := *i.Delivery
	d.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual, RequestedBy: "ada", RequestedAt: time.Now()}
	i.Delivery = &d
	return i
}

func deleteKeys(tb testing.TB, s *postgres.Store) int {
	tb.Helper()
	deleted, err := s.DeleteKeys(tb.Context(), 0, time.Time{}, 500)
	if err != nil {
		tb.Fatal(err)
	}
	return deleted.Count
}

// A webhook that is paused for long may keep millions of keys. No statement reads all of
// them to find those that go.
func TestKeysThatStayAreNotReadForEachThatGoes(t *testing.T) {
	t.Parallel()
	const stay, leave, chunk = 20_000, 1200, 500
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	park(t, s, applier.Paused, keyed(t, "alice@example.com", "k", "b", change(webhook.Add, "coins", 5)))
	execute(t, db, `INSERT INTO idempotency_keys (webhook_id, key, body_sha256, delivery_id, created_at)
		SELECT webhook_id, sha256(n::text::bytea), ''::bytea, delivery_id, now() - interval '50 days' + n * interval '1 second' FROM parked, generate_series(1, $1::int) n
		UNION ALL SELECT 'wh_other', sha256(n::text::bytea), ''::bytea, delivery_id, now() - interval '40 days' + n * interval '1 second' FROM parked, generate_series(1, $2::int) n`,
		stay, leave)
	execute(t, db, "VACUUM ANALYZE idempotency_keys")
	sweep := func(from time.Time) (deleted, statements int, next time.Time) {
		for more := true; more; statements++ {
			one, err := s.DeleteKeys(t.Context(), 30*24*time.Hour, from, chunk)
			if err != nil || one.Next.Before(from) {
				t.Fatalf("from %s on: %+v, %v", from, one, err)
			}
			deleted, from, more = deleted+one.Count, one.Next, one.More
		}
		return deleted, statements, from
	}
	deleted, statements, next := sweep(time.Time{})
	if deleted != leave || statements > 15 {
		t.Errorf("%d keys were deleted in %d statements, want %d", deleted, statements, leave)
	}
	if deleted, statements, _ := sweep(next); deleted != 0 || statements != 1 {
		t.Errorf("%d keys were deleted in %d statements, when all was looked at", deleted, statements)
	}
	execute(t, db, "DELETE FROM parked")
	if deleted, _, _ := sweep(time.Time{}); deleted != stay {
		t.Errorf("%d keys were deleted once nothing waits, want %d", deleted, stay)
	}
}

// A delivery failed and the sender's retry of it was applied. A replay of the first
// one is a duplicate of that, however old the key is.
func TestAKeyOutlivesTheDeadLettersThatHaveIt(t *testing.T) {
	t.Parallel()
	const alice = "alice@example.com"
	five := change(webhook.Add, "coins", 5)
	broken := func(i applier.Item) applier.Item {
		i.Plan = applier.Plan{Key: i.Plan.Key}
		i.Failure = &delivery.Failure{Reason: delivery.MissingField, Detail: "no."}
		return i
	}
	for name, fail := range map[string]func(*testing.T, *postgres.Store, applier.Item){
		"it failed once": func(t *testing.T, s *postgres.Store, i applier.Item) {
			t.Helper()
			settle(t, s, broken(i))
		},
		"its replay failed, too": func(t *testing.T, s *postgres.Store, i applier.Item) {
			t.Helper()
			settle(t, s, broken(i))
			settle(t, s, rerun(broken(i)))
		},
		"an edited replay with another key failed": func(t *testing.T, s *postgres.Store, i applier.Item) {
			t.Helper()
			settle(t, s, broken(i))
			edited := rerun(i)
			withKey(&edited, "another", "edited")
			edited = broken(edited)
			edited.Delivery.Replay.Edited = true
			settle(t, s, edited)
		},
		"its key was known when it was replayed": func(t *testing.T, s *postgres.Store, i applier.Item) {
			t.Helper()
			without := broken(i)
			without.Plan.Key = nil
			settle(t, s, without)
			settle(t, s, rerun(broken(i)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := postgrestest.Open(t, postgres.Options{})
			addUsers(t, s, alice)
			first, retry, other := keyed(t, alice, "k", "b", five), keyed(t, alice, "k", "b", five), keyed(t, alice, "other", "b", five)
			fail(t, s, first)
			settle(t, s, retry, other)
			if n := deleteKeys(t, s); n != 1 {
				t.Errorf("%d keys were deleted, want the one of no dead letter", n)
			}
			if got := settle(t, s, rerun(first))[0]; kind(got) != "duplicate" || got.DuplicateOf != retry.Delivery.ID {
				t.Errorf("the replay is %+v", got)
			}
			if diff := cmp.Diff(map[string]int64{"coins": 10}, balances(t, s, alice)); diff != "" {
				t.Error(diff)
			}
			if n := deleteKeys(t, s); n != 1 {
				t.Errorf("%d keys were deleted once the dead letter was gone", n)
			}
		})
	}
}

// A delivery was applied, and the sender's retry of it is parked. It is a duplicate,
// however long it waits.
func TestAKeyOutlivesWhatItsWebhookHasParked(t *testing.T) {
	t.Parallel()
	const alice = "alice@example.com"
	s, _ := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, alice)
	first, retry := keyed(t, alice, "k", "b", change(webhook.Add, "coins", 5)), keyed(t, alice, "k", "b", change(webhook.Add, "coins", 5))
	settle(t, s, first)
	park(t, s, applier.Paused, retry)
	if n := deleteKeys(t, s); n != 0 {
		t.Errorf("%d keys were deleted while a delivery waits", n)
	}
	retry.WasParked = true
	if got := settle(t, s, retry)[0]; kind(got) != "duplicate" || got.DuplicateOf != first.Delivery.ID {
		t.Errorf("the retry is %+v", got)
	}
	if n := deleteKeys(t, s); n != 1 {
		t.Errorf("%d keys were deleted once nothing waits", n)
	}
}

// An admin mended a payload and replayed it. The sender, which knows nothing of
// that, sends the delivery again, as it was or mended in the same way.
func TestARetryOfWhatWasEditedIsADuplicate(t *testing.T) {
	t.Parallel()
	const alice = "alice@example.com"
	for _, together := range []bool{true, false} {
		s, _ := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, alice)
		first := keyed(t, "nobody@example.com", "k", "sent", change(webhook.Add, "coins", 5))
		settle(t, s, first)
		edited := rerun(first)
		edited.Plan.User.Value = alice
		withKey(&edited, "k", "edited")
		edited.Delivery.Replay.Edited = true
		items := []applier.Item{
			edited, keyed(t, alice, "k", "sent", change(webhook.Add, "coins", 5)),
			keyed(t, alice, "k", "edited", change(webhook.Add, "coins", 5)), keyed(t, alice, "k", "something else", change(webhook.Add, "coins", 5)),
		}
		var got []applier.Settlement
		if together {
			got = settle(t, s, items...)
		} else {
			for _, i := range items {
				got = append(got, settle(t, s, i)...)
			}
		}
		var kinds []string
		for _, g := range got {
			kinds = append(kinds, kind(g))
		}
		if diff := cmp.Diff([]string{"applied", "duplicate", "duplicate", "idempotency_conflict"}, kinds); diff != "" {
			t.Errorf("in one batch %v: %s", together, diff)
		}
		if diff := cmp.Diff(map[string]int64{"coins": 5}, balances(t, s, alice)); diff != "" {
			t.Error(diff)
		}
	}
}

// A dead letter whose idempotency key is not known may repeat what was applied: it
// runs by itself only for as long as keys are kept. Those of others outlive it.
func TestLateDeliveriesWithoutAKnownKeyRunWhileKeysAreKept(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	now := time.Now()
	w := lateHook("a", "default", webhook.ByEmail)
	old := letter(t, s, w, "alice@example.com", now.Add(-3*time.Hour))
	oldUnknown := letter(t, s, w, "alice@example.com", now.Add(-2*time.Hour))
	freshUnknown := letter(t, s, w, "alice@example.com", now.Add(-time.Minute))
	_, err := db.ExecContext(t.Context(), `UPDATE dead_letters SET webhook_id = NULL, key = NULL WHERE delivery_id IN ($1, $2)`,
		oldUnknown.Delivery.ID.String(), freshUnknown.Delivery.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	addUsers(t, s, "alice@example.com")
	ask := asking(w, now.Add(-24*time.Hour))
	ask.KeysSince = now.Add(-time.Hour)
	if diff := cmp.Diff(idsOf(old, freshUnknown), late(t, mustLead(t, s), ask)); diff != "" {
		t.Error(diff)
	}
}

// The keys of dead letters that are older than the column are read from their
// headers, where they can be.
func TestKeysOfOlderDeadLettersAreReadFromTheirHeaders(t *testing.T) {
	t.Parallel()
	s, db := migrated(t, 13)
	ids := map[string]delivery.ID{}
	for headers, id := range map[string]delivery.ID{
		`[{"name":"Idempotency-Key","value":"k"}]`:                                   delivery.NewID(),
		`[{"name":"Webhook-Id","value":"w"},{"name":"Idempotency-Key","value":"k"}]`: delivery.NewID(),
		`[{"name":"Idempotency-Key","value":""},{"name":"Webhook-Id","value":"w"}]`:  delivery.NewID(),
		`[]`: delivery.NewID(),
		`[{"name":"Idempotency-Key","value":"k"},{"name":"X-Event","value":"a\u0000b"}]`: delivery.NewID(),
	} {
		ids[headers] = id
		execute(t, db, `INSERT INTO dead_letters (delivery_id, headers, payload, failed_at) VALUES ($1, $2, '', now())`, id.String(), headers)
		execute(t, db, `INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, reason, payload_sha256,
			stream_sequence, stream_index, attempts, received_at, finished_at)
			VALUES ($1, 'default', 'wh_a', 'a', 1, 'failed', 'internal', '', 1, 0, 1, now(), now())`, id.String())
	}
	if _, err := s.MigrateTo(t.Context(), 14); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for headers, id := range ids {
		var key string
		err := db.QueryRowContext(t.Context(), `SELECT CASE WHEN webhook_id = 'wh_a' AND key = sha256('k') THEN 'k'
			WHEN webhook_id = 'wh_a' AND key = sha256('w') THEN 'w' WHEN coalesce(webhook_id, encode(key, 'hex')) IS NULL THEN '' ELSE 'another' END
			FROM dead_letters WHERE delivery_id = $1`, id.String()).Scan(&key)
		if err != nil {
			t.Fatal(err)
		}
		got[headers] = key
	}
	want := map[string]string{
		`[{"name":"Idempotency-Key","value":"k"}]`:                                   "k",
		`[{"name":"Webhook-Id","value":"w"},{"name":"Idempotency-Key","value":"k"}]`: "k",
		`[{"name":"Idempotency-Key","value":""},{"name":"Webhook-Id","value":"w"}]`:  "w",
		`[]`: "",
		`[{"name":"Idempotency-Key","value":"k"},{"name":"X-Event","value":"a\u0000b"}]`: "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
