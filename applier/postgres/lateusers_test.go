package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// lateHook is a webhook that finds users so. Its id is of the letter.
func lateHook(letter, community string, by webhook.UserKey) *webhook.Webhook {
	id := "wh_"
	for range 26 {
		id += letter
	}
	return &webhook.Webhook{Record: webhook.Record{ID: id, Version: 1, Definition: webhook.Definition{
		Name: letter, Community: community, User: &webhook.UserRef{By: by, Path: "user"},
	}}}
}

func asking(w *webhook.Webhook, since time.Time) postgres.LateWebhook {
	return postgres.LateWebhook{ID: w.ID, Community: w.Community, By: w.User.By, Since: since}
}

// letter settles a delivery for a user who is not there.
func letter(tb testing.TB, s *postgres.Store, w *webhook.Webhook, user string, received time.Time) applier.Item {
	tb.Helper()
	item := applier.Item{
		Delivery: newDelivery(tb), Webhook: w,
		Plan: applier.Plan{User: applier.UserRef{By: w.User.By, Value: user}, Changes: []applier.Change{change(webhook.Add, "coins", 1)}},
	}
	d := item.Delivery
	d.WebhookID, d.ReceivedAt = w.ID, received.UTC().Truncate(time.Microsecond)
	for i := range 6 {
		d.ID[i] = byte(received.UnixMilli() >> (8 * (5 - i)))
	}
	if got := settle(tb, s, item)[0]; got.Failure == nil || got.Failure.Reason != delivery.UserNotFound {
		tb.Fatalf("settled as %+v", got)
	}
	return item
}

// runAgain settles a replay of a delivery by another plan.
func runAgain(tb testing.TB, s *postgres.Store, first applier.Item, cause delivery.Cause, again applier.Item) {
	tb.Helper()
	replay := replayOf(first, again)
	replay.Delivery.Replay.Cause = cause
	settle(tb, s, replay)
}

func addUsersOf(tb testing.TB, s *postgres.Store, community string, users ...postgres.NewUser) {
	tb.Helper()
	if _, err := s.ImportUsers(tb.Context(), community, users); err != nil {
		tb.Fatal(err)
	}
}

func mustLead(tb testing.TB, s *postgres.Store) *postgres.Lead {
	tb.Helper()
	lead, err := s.Lead(tb.Context(), postgres.LateUsers)
	if err != nil || lead == nil {
		tb.Fatalf("no lead: %v", err)
	}
	tb.Cleanup(lead.Close)
	return lead
}

// late returns the ids of all whose user has appeared.
func late(tb testing.TB, lead *postgres.Lead, webhooks ...postgres.LateWebhook) (ids []delivery.ID) {
	tb.Helper()
	for page := (postgres.LatePage{More: true}); page.More; {
		var err error
		if page, err = lead.LatePage(tb.Context(), webhooks, page.Last); err != nil {
			tb.Fatal(err)
		}
		for _, d := range page.Found {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

func idsOf(items ...applier.Item) (ids []delivery.ID) {
	for _, item := range items {
		ids = append(ids, item.Delivery.ID)
	}
	return ids
}

func TestUsersThatHaveAppeared(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	now := time.Now()
	week := now.Add(-7 * 24 * time.Hour)
	byEmail, byName := lateHook("a", "default", webhook.ByEmail), lateHook("b", "default", webhook.ByUsername)
	elsewhere, silent := lateHook("c", "elsewhere", webhook.ByEmail), lateHook("d", "default", webhook.ByEmail)
	changed := lateHook("e", "default", webhook.ByEmail)

	oldest := letter(t, s, byEmail, "Alice@Example.COM", week.Add(time.Hour))
	second := letter(t, s, byName, "GROẞER BOB", now.Add(-time.Hour))
	third := letter(t, s, elsewhere, "carol@example.com", now.Add(-time.Minute))
	newest := letter(t, s, byEmail, "alice@example.com", now)
	for about, item := range map[string]applier.Item{
		"is too old":                      letter(t, s, byEmail, "alice@example.com", week.Add(-time.Second)),
		"waits for somebody else":         letter(t, s, byEmail, "nobody@example.com", now),
		"waits for a username":            letter(t, s, byEmail, "großer@bob", now),
		"is of another community":         letter(t, s, byEmail, "carol@example.com", now),
		"is of a webhook that is silent":  letter(t, s, silent, "alice@example.com", now),
		"is of a mapping that is changed": letter(t, s, changed, "alice@example.com", now),
	} {
		t.Logf("%s %s", item.Delivery.ID, about)
	}
	gone := letter(t, s, byEmail, "alice@example.com", now)
	if _, err := db.ExecContext(t.Context(), "DELETE FROM dead_letters WHERE delivery_id = $1", gone.Delivery.ID.String()); err != nil {
		t.Fatal(err)
	}
	lead := mustLead(t, s)
	changed.User = &webhook.UserRef{By: webhook.ByUsername, Path: "user"}
	ask := []postgres.LateWebhook{asking(byEmail, week), asking(byName, week), asking(elsewhere, week), asking(changed, week)}
	if ids := late(t, lead, ask...); ids != nil {
		t.Errorf("found %v before anybody was there", ids)
	}
	addUsersOf(t, s, "default", postgres.NewUser{Email: "ALICE@example.com"}, postgres.NewUser{Username: "großer bob"}, postgres.NewUser{Username: "großer@bob"})
	addUsersOf(t, s, "elsewhere", postgres.NewUser{Email: "carol@example.com", Username: "alice@example.com"})
	if diff := cmp.Diff(idsOf(oldest, second, third, newest), late(t, lead, ask...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(idsOf(third), late(t, lead, asking(elsewhere, week))); diff != "" {
		t.Errorf("one webhook:\n%s", diff)
	}
	page, err := lead.LatePage(t.Context(), ask[:1], delivery.ID{})
	alice, findErr := s.FindUser(t.Context(), "default", "alice@example.com")
	want := postgres.LateDelivery{ID: oldest.Delivery.ID, User: alice.ID, WebhookID: byEmail.ID, ReceivedAt: oldest.Delivery.ReceivedAt}
	if err != nil || findErr != nil || len(page.Found) == 0 || page.More {
		t.Fatalf("page %+v, %v, %v", page, err, findErr)
	}
	page.Found[0].ReceivedAt = page.Found[0].ReceivedAt.UTC()
	if diff := cmp.Diff(want, page.Found[0]); diff != "" {
		t.Error(diff)
	}
	if _, err := db.ExecContext(t.Context(), "DELETE FROM users WHERE community = 'default'"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(idsOf(third), late(t, lead, ask...)); diff != "" {
		t.Errorf("after users were deleted:\n%s", diff)
	}
}

func TestWhatRanAgainAndFailedIsLateNoMore(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{Settling: true})
	w := lateHook("a", community, webhook.ByEmail)
	waits := func() applier.Item { return letter(t, s, w, "alice@example.com", time.Now()) }
	once, thrice, byHand, broken, moved := waits(), waits(), waits(), waits(), waits()
	missing := applier.Item{Webhook: w, Plan: once.Plan}
	runAgain(t, s, once, delivery.UserFound, missing)
	for range 3 {
		runAgain(t, s, thrice, delivery.UserFound, missing)
		runAgain(t, s, byHand, delivery.Manual, missing)
	}
	runAgain(t, s, broken, delivery.UserFound, applier.Item{Webhook: w, Failure: &delivery.Failure{Reason: delivery.MissingField, Detail: "no."}})
	runAgain(t, s, moved, delivery.UserFound, applier.Item{Webhook: w, Plan: applier.Plan{User: applier.UserRef{By: webhook.ByEmail, Value: "bob@example.com"}}})
	addUsers(t, s, "alice@example.com")
	lead := mustLead(t, s)
	ask := asking(w, time.Now().Add(-time.Hour))
	if diff := cmp.Diff(idsOf(once, byHand), late(t, lead, ask)); diff != "" {
		t.Errorf("not once and by hand alone:\n%s", diff)
	}
	page, err := lead.LatePage(t.Context(), []postgres.LateWebhook{ask}, delivery.ID{})
	if err != nil || page.Found[0].Executions != 2 || page.Found[1].Executions != 4 {
		t.Errorf("found %+v, %v", page.Found, err)
	}
	addUsers(t, s, "bob@example.com")
	if diff := cmp.Diff(idsOf(once, byHand, moved), late(t, lead, ask)); diff != "" {
		t.Errorf("who waits for somebody else now:\n%s", diff)
	}
}

func TestLatePagesGoThroughAll(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 2})
	w := lateHook("a", community, webhook.ByEmail)
	fillDeadLetters(t, db, w, 2500, 2400)
	lead := mustLead(t, s)
	ask := []postgres.LateWebhook{asking(w, time.Now().Add(-24*time.Hour))}
	if got := late(t, lead, ask...); got != nil {
		t.Errorf("found %d of nobody", len(got))
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO users SELECT gen_random_uuid(), $1, k, k FROM (
		SELECT DISTINCT user_key FROM dead_letters) AS d (k)`, community); err != nil {
		t.Fatal(err)
	}
	var last delivery.ID
	sizes := []int{}
	for more := true; more; {
		page, err := lead.LatePage(t.Context(), ask, last)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Found {
			if string(d.ID[:]) <= string(last[:]) {
				t.Fatalf("%s comes after %s", d.ID, last)
			}
			last = d.ID
		}
		sizes, more = append(sizes, len(page.Found)), page.More
	}
	if diff := cmp.Diff([]int{1000, 1000, 500}, sizes); diff != "" {
		t.Errorf("pages of other sizes:\n%s", diff)
	}
	if got := late(t, lead, asking(w, time.Now().Add(-2399*time.Second))); len(got) < 2390 || len(got) > 2400 {
		t.Errorf("%d are not too old", len(got))
	}
}

const fillDeadLettersQuery = `
WITH filled AS MATERIALIZED (
    SELECT n, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 5, 15))::uuid AS id
    FROM (SELECT n, now() - ($1::int - n) * interval '1 second' FROM generate_series(1, $1::int) AS n) AS s (n, at)
),
outcome AS (
    INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, reason, payload_sha256,
        stream_sequence, stream_index, attempts, received_at, finished_at)
    SELECT id, $3, $4, 'Late', 1, 'failed', 'user_not_found', '', n, 0, 1, at, at FROM filled
)
INSERT INTO dead_letters (delivery_id, headers, payload, failed_at, user_by, user_key)
SELECT id, '[]', convert_to(repeat(md5(n::text), 12), 'UTF8'), at, 'email', 'user-' || n % $2::int || '@example.com' FROM filled`

// fillDeadLetters adds rows that wait for so many users by their emails, one of
// each second up to now.
func fillDeadLetters(tb testing.TB, db *sql.DB, w *webhook.Webhook, rows, users int) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), fillDeadLettersQuery, rows, users, w.Community, w.ID); err != nil {
		tb.Fatal(err)
	}
}

func TestLateRuns(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	first, second := lateHook("a", community, webhook.ByEmail), lateHook("b", community, webhook.ByEmail)
	var items []applier.Item
	for range 4 {
		items = append(items, letter(t, s, first, "alice@example.com", time.Now()))
	}
	other, bobs := letter(t, s, second, "alice@example.com", time.Now()), letter(t, s, first, "bob@example.com", time.Now())
	addUsers(t, s, "alice@example.com", "bob@example.com", "carol@example.com")
	settle(t, s, applier.Item{Delivery: newDelivery(t), Webhook: shop, Plan: items[0].Plan}) // the first time, and of another webhook
	again := func(item applier.Item, cause delivery.Cause) {
		runAgain(t, s, item, cause, applier.Item{Webhook: item.Webhook, Plan: item.Plan})
	}
	again(items[0], delivery.UserFound)
	again(items[0], delivery.UserFound) // changes nothing
	again(items[1], delivery.Manual)
	again(items[1], delivery.UserFound) // nothing either
	again(items[2], delivery.UserFound)
	again(other, delivery.UserFound)
	again(bobs, delivery.UserFound)
	if n := count(t, db, "SELECT count(*) FROM executions WHERE NOT effect"); n != 2 {
		t.Fatalf("%d replays changed nothing, want 2", n)
	}
	id := func(email string) delivery.ID {
		u, err := s.FindUser(t.Context(), community, email)
		if err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	alice, bob, carol := id("alice@example.com"), id("bob@example.com"), id("carol@example.com")
	got, err := mustLead(t, s).LateRuns(t.Context(), []postgres.LateUser{{alice, first.ID}, {alice, second.ID}, {bob, first.ID}, {bob, second.ID}, {carol, first.ID}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[postgres.LateUser]int{{alice, first.ID}: 2, {alice, second.ID}: 1, {bob, first.ID}: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneApplierAtATimeHasTheLead(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	open := func() *postgres.Store {
		s, err := postgres.Open(url, postgres.Options{MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() }) // the database is dropped next
		return s
	}
	one, two := open(), open()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // the same
	// awaitLead takes the lead as soon as the server has noticed that it is free.
	awaitLead := func(s *postgres.Store) *postgres.Lead {
		var lead *postgres.Lead
		eventually(t, func() (err error) {
			if lead, err = s.Lead(t.Context(), postgres.LateUsers); err == nil && lead == nil {
				err = errors.New("nobody gets the lead")
			}
			return err
		})
		return lead
	}
	wantNone := func(s *postgres.Store) {
		t.Helper()
		for range 3 { // more often than there are connections
			if lead, err := s.Lead(t.Context(), postgres.LateUsers); lead != nil || err != nil {
				t.Fatalf("a second lead: %v, %v", lead, err)
			}
		}
	}
	first := mustLead(t, one)
	wantNone(one)
	wantNone(two)
	first.Close()
	second := awaitLead(two)
	wantNone(one)
	if n := count(t, db, `SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); n != 1 {
		t.Fatalf("%d connections have the lock", n)
	}
	third := awaitLead(one)
	defer third.Close()
	if _, err := second.LatePage(t.Context(), nil, delivery.ID{}); err == nil {
		t.Error("who lost the lead can go on")
	}
	second.Close()
	wantNone(two)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if lead, err := two.Lead(ctx, postgres.LateUsers); lead != nil || err == nil {
		t.Errorf("a lead of nobody: %v, %v", lead, err)
	}
}

// TestLateUsersAreLookedUpByIndex: what a page costs must not grow with the
// tables.
func TestLateUsersAreLookedUpByIndex(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 1})
	w := lateHook("a", community, webhook.ByEmail)
	const rows = 20_000
	fillDeadLetters(t, db, w, rows, rows)
	for _, fill := range []string{
		`INSERT INTO users SELECT gen_random_uuid(), 'default', n || '@x', n || '@x', NULL, NULL FROM generate_series(1, $1) n`,
		`INSERT INTO users SELECT gen_random_uuid(), 'default', k, k FROM (SELECT user_key FROM dead_letters LIMIT $1 / 100) AS d (k)`,
		`INSERT INTO executions (delivery_id, execution_id, cause, effect, version, status, stream_epoch, stream_sequence, stream_index, attempts, at)
			SELECT gen_random_uuid(), gen_random_uuid(), 'user_found', true, 1, 'success', 0, 0, 0, 1, now() FROM generate_series(1, $1)`,
	} {
		if _, err := db.ExecContext(t.Context(), fill, rows); err != nil {
			t.Fatal(err)
		}
	}
	scanned := func() int {
		if _, err := db.ExecContext(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
			t.Fatal(err)
		}
		return count(t, db, "SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE relname NOT IN ('schema_versions', 'schema_compatibility')")
	}
	before := scanned()
	lead := mustLead(t, s)
	page, err := lead.LatePage(t.Context(), []postgres.LateWebhook{asking(w, time.Now().Add(-24*time.Hour))}, delivery.ID{})
	if err != nil || len(page.Found) == 0 || !page.More {
		t.Fatalf("page %+v, %v", page, err)
	}
	if _, err := lead.LateRuns(t.Context(), []postgres.LateUser{{page.Found[0].User, w.ID}}); err != nil {
		t.Fatal(err)
	}
	lead.Close() // a backend reports what it did at the latest when it ends
	awaitAlone(t, db)
	if read := scanned() - before; read > 0 {
		t.Errorf("a page read %d rows from end to end", read)
	}
}
