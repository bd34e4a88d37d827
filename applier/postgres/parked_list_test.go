package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// addUser adds a user to the default community.
func addUser(tb testing.TB, s *postgres.Store, email string) delivery.ID {
	tb.Helper()
	addUsers(tb, s, email)
	u, err := s.FindUser(tb.Context(), "default", email)
	if err != nil {
		tb.Fatal(err)
	}
	return u.ID
}

func TestListParked(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	ann := addUser(t, s, "ann@example.com")
	var ids []delivery.ID
	for range 6 {
		ids = append(ids, delivery.NewID())
	}
	old := time.Now().Add(-time.Hour)
	postgrestest.Park(t, db,
		postgrestest.Parked{ID: ids[0], Webhook: "wh_a", Community: "one", Reason: applier.Paused},
		postgrestest.Parked{ID: ids[1], Webhook: "wh_b", Community: "one", Reason: applier.KeyUnavailable},
		postgrestest.Parked{ID: ids[2], Webhook: "wh_a", Community: "one", Reason: applier.UserLocked, User: ann, Body: "the payload", Headers: []delivery.Header{{Name: "X-Kind", Value: "a"}}},
		postgrestest.Parked{ID: ids[3], Webhook: "wh_c", Community: "two", Reason: applier.NewerFormat},
		postgrestest.Parked{ID: ids[4], Webhook: "wh_a", Community: "one", Reason: applier.Paused},
		postgrestest.Parked{ID: ids[5], Replay: delivery.NewID(), Webhook: "wh_a", Community: "one", Reason: applier.Paused}, // no delivery of its own
	)
	for name, tc := range map[string]struct {
		filter postgres.OutcomeFilter
		want   []int
	}{
		"all":                 {postgres.OutcomeFilter{}, []int{4, 3, 2, 1, 0}},
		"a limit":             {postgres.OutcomeFilter{Limit: 2}, []int{4, 3}},
		"a webhook":           {postgres.OutcomeFilter{WebhookID: "wh_a"}, []int{4, 2, 0}},
		"a community":         {postgres.OutcomeFilter{Community: "two"}, []int{3}},
		"a user":              {postgres.OutcomeFilter{UserID: ann}, []int{2}},
		"before":              {postgres.OutcomeFilter{Before: ids[2]}, []int{1, 0}},
		"after, oldest first": {postgres.OutcomeFilter{After: ids[1]}, []int{2, 3, 4}},
		"after, of a webhook": {postgres.OutcomeFilter{After: ids[0], WebhookID: "wh_a"}, []int{2, 4}},
		"since":               {postgres.OutcomeFilter{Since: old}, []int{4, 3, 2, 1, 0}},
		"until":               {postgres.OutcomeFilter{Until: old}, nil},
	} {
		if tc.filter.Limit == 0 {
			tc.filter.Limit = 100
		}
		list, err := s.ListParked(t.Context(), tc.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, p := range list {
			got = append(got, slices.Index(ids, p.ID))
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	p, body, ok, err := s.FindParked(t.Context(), ids[2])
	if err != nil || !ok || *p.Pending.Why != string(applier.UserLocked) || *p.Pending.Detail != "because" || p.User == nil || p.User.Email != "ann@example.com" ||
		string(body.Payload) != "the payload" || len(body.Headers) != 1 || body.Headers[0].Name != "X-Kind" {
		t.Errorf("found %+v %+v %t, %v", p, body, ok, err)
	}
	if _, _, ok, err := s.FindParked(t.Context(), ids[5]); ok || err != nil {
		t.Errorf("a replay is found as a delivery: %v", err)
	}
	have, err := s.HaveRows(t.Context(), append(slices.Clone(ids), delivery.NewID()))
	if err != nil || len(have) != 5 || have[ids[5]] {
		t.Errorf("parked are %v, %v", have, err)
	}
}

func TestParkedGroups(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	if all, err := s.ParkedGroups(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("of an empty table: %+v, %v", all, err)
	}
	ann := addUser(t, s, "ann@example.com")
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	dead := delivery.NewID()
	replays := []delivery.ID{delivery.NewID(), delivery.NewID()}
	var rows []postgrestest.Parked
	for i, r := range []postgrestest.Parked{
		{Webhook: "wh_b", Community: "one", Reason: applier.KeyUnavailable},
		{Webhook: "wh_a", Community: "one", Reason: applier.Paused},
		{Webhook: "wh_a", Community: "one", Reason: applier.Paused},
		{Webhook: "wh_a", Community: "one", Reason: applier.UserLocked, User: ann},
		{Webhook: "wh_c", Community: "two", Reason: applier.Paused, ID: dead, Replay: replays[0]},
		{Webhook: "wh_c", Community: "two", Reason: applier.Paused, ID: dead, Replay: replays[1]},
	} {
		if r.ID == (delivery.ID{}) {
			r.ID = delivery.NewID()
		}
		r.At = at.Add(time.Duration(i) * time.Minute)
		rows = append(rows, r)
	}
	postgrestest.Park(t, db, rows...)
	want := []admin.ParkedGroup{
		{WebhookID: "wh_b", Community: "one", Reason: applier.KeyUnavailable, Detail: "because", Count: 1, Oldest: at},
		{WebhookID: "wh_a", Community: "one", Reason: applier.Paused, Detail: "because", Count: 2, Oldest: at.Add(time.Minute)},
		{WebhookID: "wh_a", Community: "one", Reason: applier.UserLocked, Detail: "because", Count: 1, Oldest: at.Add(3 * time.Minute)},
		{WebhookID: "wh_c", Community: "two", Reason: applier.Paused, Detail: "because", Replays: 2, Oldest: at.Add(4 * time.Minute)},
	}
	got, err := s.ParkedGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Oldest = got[i].Oldest.UTC()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	first, err := s.FirstParkedReplays(t.Context(), []delivery.ID{dead, rows[0].ID})
	if err != nil || len(first) != 1 || first[dead] == nil || first[dead].ID != replays[0] || first[dead].Why != applier.Paused {
		t.Errorf("the first replays are %+v, %v", first, err)
	}
}

func TestASummaryOfManyParkedDeliveriesIsBounded(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	execute(t, db, `INSERT INTO parked (delivery_id, replay_id, slot, webhook_id, community, reason, detail,
		stream_epoch, stream_sequence, stream_index, stored_at, received_at, attempts, revision, headers, payload, parked_at)
		SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000000', 1, 'wh_' || n % 3, 'one', 'paused', '', 1, n, 0, now(), now(), 1, 1, '[]', '', now()
		FROM generate_series(1, 31000) n WHERE n % 3 > 0 OR n < 100`)
	groups, err := s.ParkedGroups(t.Context())
	if err != nil || len(groups) != 3 {
		t.Fatalf("%+v, %v", groups, err)
	}
	for _, g := range groups {
		if many := g.WebhookID != "wh_0"; g.AtLeast != many || many && g.Count != 10_001 || !many && g.Count != 33 {
			t.Errorf("%+v", g)
		}
	}
	execute(t, db, "ANALYZE parked")
	plan := explain(t, db, postgres.ParkedGroupsQuery, []any{"wh_1", 10_001, delivery.ID{}.String()})
	if !strings.Contains(plan, "Index Scan using parked_webhook") || strings.Contains(plan, "Sort Key: parked") {
		t.Errorf("all rows of the webhook are read:\n%s", plan)
	}
	before, err := s.ParkedMark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, db, "DELETE FROM parked WHERE webhook_id = 'wh_0'")
	eventually(t, func() error {
		after, err := s.ParkedMark(t.Context())
		if err == nil && after == before {
			err = fmt.Errorf("the mark stays %d", before)
		}
		return err
	})
}

// TestWhoHoldsAUserIsTold, alone or with others.
func TestWhoHoldsAUserIsTold(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"alone":       "SELECT id FROM users FOR UPDATE",
		"with others": "SELECT id FROM users FOR SHARE",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{})
			ann := addUser(t, s, "ann@example.com")
			postgrestest.Park(t, db, postgrestest.Parked{ID: delivery.NewID(), Webhook: "wh_a", Community: "one", Reason: applier.UserLocked, User: ann})
			users, err := s.LockedUsers(t.Context(), "wh_a", 10)
			if err != nil || len(users) != 1 || users[0] != ann {
				t.Fatalf("locked are %v, %v", users, err)
			}
			if holders, err := s.LockHolders(t.Context(), users); err != nil || len(holders) != 0 {
				t.Errorf("nobody holds it: %+v, %v", holders, err)
			}
			pids := map[int]bool{}
			for i := range map[string]int{"alone": 1, "with others": 2}[name] {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback() // it only held the lock
				var pid int
				if err := tx.QueryRowContext(t.Context(), fmt.Sprintf("SELECT pg_backend_pid() FROM set_config('application_name', 'reports-%d', false)", i)).Scan(&pid); err != nil {
					t.Fatal(err)
				}
				if _, err := tx.ExecContext(t.Context(), lock); err != nil {
					t.Fatal(err)
				}
				pids[pid] = true
			}
			eventually(t, func() error {
				holders, err := s.LockHolders(t.Context(), users)
				if err != nil || len(holders) != len(pids) { // after a second where several hold it
					return fmt.Errorf("holders are %+v, %v; want those of %v", holders, err, pids)
				}
				for _, h := range holders {
					if !pids[h.PID] || h.State != "idle in transaction" || h.Since.IsZero() || h.Application[:8] != "reports-" {
						t.Errorf("%+v, want one of %v", h, pids)
					}
				}
				return nil
			})
		})
	}
}

// TestParkedAdjustmentsAreCountedByCommunity: they have one webhook's id in all of them.
func TestParkedAdjustmentsAreCountedByCommunity(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	ann, at := addUser(t, s, "ann@example.com"), time.Now()
	for _, community := range []string{"alpha", "beta", "beta"} {
		postgrestest.Park(t, db, postgrestest.Parked{ID: delivery.NewID(), Webhook: applier.AdjustmentID, Community: community, Reason: applier.UserLocked, User: ann, At: at})
	}
	for _, tc := range []struct {
		grants admin.Grants
		want   map[string]int
	}{
		{admin.OwnerGrants(), map[string]int{"alpha": 1, "beta": 2}},
		{admin.Grants{"alpha": admin.Viewer}, map[string]int{"alpha": 1}},
		{admin.Grants{"beta": admin.Viewer}, map[string]int{"beta": 2}},
		{admin.Grants{"gamma": admin.Viewer}, map[string]int{}},
	} {
		groups, err := s.ParkedGroups(admin.WithActor(t.Context(), admin.Actor{Grants: tc.grants}, admin.Viewer))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, g := range groups {
			got[g.Community] += g.Count
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.grants, diff)
		}
	}
}
