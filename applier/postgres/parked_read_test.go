package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// of is a delivery of another webhook, in a slot.
func of(item applier.Item, id string, slot int) applier.Item {
	w, d := *shop, *item.Delivery
	w.ID, d.WebhookID, d.Slot = id, id, slot
	item.Webhook, item.Delivery = &w, &d
	return item
}

// sequences are where deliveries are in the stream.
func sequences(all []delivery.Delivery) (sequences []int) {
	for _, d := range all {
		sequences = append(sequences, int(d.Position.Sequence)) // they are small
	}
	return sequences
}

func TestParkedWebhooks(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	halves := []delivery.Partition{{Generation: 1, Index: 0, Count: 2}, {Generation: 1, Index: 1, Count: 2}}
	check := func(p delivery.Partition, want ...applier.ParkedWebhook) {
		t.Helper()
		got, err := s.ParkedWebhooks(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("partition %v (-want +got):\n%s", p, diff)
		}
	}
	check(partitionOfAll)
	park(t, s, applier.KeyUnavailable, of(coins(t, "alice@example.com", 1, 5), "wh_a", 1))
	park(t, s, applier.Paused, of(coins(t, "alice@example.com", 1, 6), "wh_a", 1), of(coins(t, "alice@example.com", 1, 2), "wh_b", 1),
		of(coins(t, "alice@example.com", 1, 3), "wh_c", 2), of(coins(t, "alice@example.com", 1, 4), "wh_c", 3))
	letGo := holding(t, db, lockAlice)
	settle(t, s, of(coins(t, "alice@example.com", 1, 9), "wh_d", 1))
	letGo()
	a, b, c := applier.ParkedWebhook{ID: "wh_a", Reason: applier.KeyUnavailable},
		applier.ParkedWebhook{ID: "wh_b", Reason: applier.Paused}, applier.ParkedWebhook{ID: "wh_c", Reason: applier.Paused}
	check(partitionOfAll, a, b, c)
	check(halves[0], a, b, c)
	check(halves[1], c)
}

func TestParkedOf(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{Settling: true})
	var all []applier.Item
	for _, sequence := range []uint64{4, 2, 9, 3, 7, 5} {
		item := of(coins(t, "alice@example.com", 1, sequence), "wh_a", int(sequence%3)+1)
		if sequence == 2 { // the next stream
			item.Delivery.Incarnation = "two"
		}
		all = append(all, item)
	}
	park(t, s, applier.Paused, all...)
	park(t, s, applier.Paused, of(coins(t, "alice@example.com", 1, 1), "wh_b", 1))
	for _, tc := range []struct {
		of    delivery.Partition
		after *delivery.Place
		limit int
		want  []int
	}{
		{of: partitionOfAll, limit: 100, want: []int{3, 4, 5, 7, 9, 2}},
		{of: partitionOfAll, limit: 2, want: []int{3, 4}},
		{of: partitionOfAll, after: &delivery.Place{Incarnation: "one", Position: at(4, 0)}, limit: 3, want: []int{5, 7, 9}},
		{of: partitionOfAll, after: &delivery.Place{Incarnation: "one", Position: at(9, 0)}, limit: 3, want: []int{2}},
		{of: partitionOfAll, after: &delivery.Place{Incarnation: "two", Position: at(2, 0)}, limit: 3},
		{of: partitionOfAll, after: &delivery.Place{Incarnation: "one", Position: at(4, 1)}, limit: 1, want: []int{5}},
		{of: delivery.Partition{Index: 0, Count: 2}, limit: 100, want: []int{3, 5, 9, 2}},
		{of: delivery.Partition{Index: 1, Count: 2}, limit: 100, want: []int{4, 7}},
	} {
		got, err := s.ParkedOf(t.Context(), tc.of, "wh_a", tc.after, tc.limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, sequences(got)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc, diff)
		}
	}
}

// A user who has many parked deliveries, or whose row stays locked, takes no other's
// turn.
func TestParkedOfUsersIsFair(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	emails := []string{"alice@example.com", "bob@example.com", "carol@example.com", "dave@example.com"}
	addUsers(t, s, emails...)
	letGo := holding(t, db, "SELECT FROM users FOR UPDATE")
	var batch []applier.Item
	for n := range 30 { // mostly of the first two
		batch = append(batch, of(coins(t, emails[n%2], 1, uint64(n)), shop.ID, 1))
	}
	settle(t, s, append(batch, of(coins(t, emails[2], 1, 98), shop.ID, 2), of(coins(t, emails[3], 1, 99), shop.ID, 1))...)
	letGo()
	defer holding(t, db, lockAlice)()
	for _, tc := range []struct {
		of    delivery.Partition
		limit int
		want  []int
	}{
		{of: partitionOfAll, limit: 6, want: []int{1, 3, 98, 99}},
		{of: partitionOfAll, limit: 2, want: []int{1, 98}},
		{of: delivery.Partition{Index: 0, Count: 2}, limit: 6, want: []int{1, 3, 5, 99}},
		{of: delivery.Partition{Index: 1, Count: 2}, limit: 6, want: []int{98}},
	} {
		got, err := s.ParkedOfUsers(t.Context(), tc.of, tc.limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, sequences(got)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc, diff)
		}
	}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	users := []postgres.NewUser{{Email: "alice@example.com", Username: "alice"}, {Email: "bob@example.com"}}
	if _, err := s.ImportUsers(t.Context(), community, users); err != nil {
		t.Fatal(err)
	}
	defer holding(t, db, lockAlice)() // it locks nobody
	byName := coins(t, "", 1, 1)
	byName.Plan.User = applier.UserRef{By: webhook.ByUsername, Value: "ALICE"}
	skipped, broken := coins(t, "", 1, 2), coins(t, "", 1, 3)
	skipped.Plan.Skip, broken.Failure = true, &delivery.Failure{}
	got, err := s.Locate(t.Context(), []applier.Item{
		coins(t, "Alice@example.com", 1, 4), byName, coins(t, "nobody@example.com", 1, 5), skipped, broken, coins(t, "bob@example.com", 1, 6),
	})
	if err != nil {
		t.Fatal(err)
	}
	alice, err := s.FindUser(t.Context(), community, "alice")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := s.FindUser(t.Context(), community, "bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	none := delivery.ID{}
	if diff := cmp.Diff([]delivery.ID{alice.ID, alice.ID, none, none, none, bob.ID}, got); diff != "" {
		t.Error(diff)
	}
}

// Users are remembered. An identifier that moves is found where it was until a batch
// with it is settled.
func TestLocateRemembers(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com", "bob@example.com")
	alice := coins(t, "alice@example.com", 1, 1)
	find := func() delivery.ID {
		t.Helper()
		got, err := s.Locate(t.Context(), []applier.Item{alice})
		if err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	first := find()
	execute(t, db, "UPDATE users SET email = 'old@example.com', email_key = 'old@example.com' WHERE email_key = 'alice@example.com'")
	execute(t, db, "UPDATE users SET email = 'alice@example.com', email_key = 'alice@example.com' WHERE email_key = 'bob@example.com'")
	if got := find(); got != first {
		t.Errorf("it asked again: %s, want %s", got, first)
	}
	settle(t, s, alice)
	second := find()
	if second == first {
		t.Error("a batch was settled and it remembers the user of before")
	}
	execute(t, db, "UPDATE users SET email = 'new@example.com', email_key = 'new@example.com' WHERE email_key = 'alice@example.com'")
	settle(t, s, coins(t, "alice@example.com", 1, 2))
	if got := find(); got != (delivery.ID{}) {
		t.Errorf("nobody has it, and it remembers %s", got)
	}
}

// Parked deliveries of a webhook cost nobody anything: neither those who settle, nor those
// who look for what is parked.
func TestManyParkedDeliveriesCostNothing(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true, MaxConns: 1})
	addUsers(t, s, "alice@example.com")
	execute(t, db, "ALTER TABLE parked SET (autovacuum_enabled = off)")
	execute(t, db, "ANALYZE")
	letGo := holding(t, db, lockAlice)
	waits := coins(t, "alice@example.com", 1, 1)
	settle(t, s, waits) // the plans are made here
	letGo()
	park(t, s, applier.Paused, of(coins(t, "alice@example.com", 1, 1), "wh_first", 3), of(coins(t, "alice@example.com", 1, 1), "wh_last", 9))
	const rows = 50_000
	execute(t, db, `INSERT INTO parked SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000000', 5, 'wh_many', 'default', 'paused', '', NULL,
		1, n, 0, NULL, now(), 1, 1, '[]', '', NULL, NULL, NULL, NULL, NULL, NULL, false, now() FROM generate_series(1, $1) n`, rows)
	execute(t, db, `INSERT INTO parked SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000000', 5, 'wh_many', 'default', 'user_locked', '', u.id,
		1, n, 0, NULL, now(), 1, 1, '[]', '', NULL, NULL, NULL, NULL, NULL, NULL, false, now() FROM generate_series(2, $1) n, users u`, rows)
	execute(t, db, "SELECT pg_stat_force_next_flush()") // what the test's own connection has read
	read := func() int {
		if err := s.Exec(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
			t.Fatal(err)
		}
		return count(t, db, `SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit) FROM pg_statio_user_tables WHERE relname = 'parked'`)
	}
	for _, step := range []struct {
		what string
		do   func() (int, error)
		want int
	}{
		{"list webhooks", func() (int, error) {
			all, err := s.ParkedWebhooks(t.Context(), partitionOfAll)
			return len(all), err
		}, 3},
		{"read a webhook's", func() (int, error) {
			all, err := s.ParkedOf(t.Context(), partitionOfAll, "wh_many", &delivery.Place{Incarnation: "one", Position: at(rows/2, 0)}, 10)
			return len(all), err
		}, 10},
		{"read users'", func() (int, error) {
			all, err := s.ParkedOfUsers(t.Context(), partitionOfAll, 10)
			return len(all), err
		}, 10},
		{"look for what the stream has to keep", func() (int, error) {
			first, err := s.FirstNewer(t.Context(), "one")
			return int(first), err // it is small
		}, 0},
		{"compare with the stream", func() (int, error) {
			all, err := s.SettledOf(t.Context(), "one", idsOf(waits))
			return len(all), err
		}, 1},
		{"delete keys", func() (int, error) { return deleteKeys(t, s), nil }, 0},
		{"park", func() (int, error) { park(t, s, applier.Paused, coins(t, "alice@example.com", 1, 7)); return 1, nil }, 1},
		{"settle", func() (int, error) { return len(settle(t, s, coins(t, "alice@example.com", 1, 8))), nil }, 1},
		{"settle from the row", func() (int, error) { return len(settle(t, s, fromItsRow(waits))), nil }, 1},
	} {
		before := read()
		n, err := step.do()
		if err != nil || n != step.want {
			t.Errorf("%s: %d, want %d, %v", step.what, n, step.want, err)
		}
		if blocks := read() - before; blocks > 1000 {
			t.Errorf("%s: %d blocks were read", step.what, blocks)
		} else {
			t.Logf("%s: %d blocks", step.what, blocks)
		}
	}
}
