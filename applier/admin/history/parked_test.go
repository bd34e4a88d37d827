package history_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestParkedDeliveriesAreListedOnce, whether their messages are acked or not, among
// those that are settled and those that wait in the stream.
func TestParkedDeliveriesAreListedOnce(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	ids := i.publish("a", "b", "c", "d")
	i.settle() // a to d are dead letters
	acked := delivery.NewID()
	ids = append(ids, acked)
	ids = append(ids, i.publish("e", "f", "g")...)
	park := func(n int, reason applier.ParkReason) {
		postgrestest.Park(t, i.DB, postgrestest.Parked{ID: ids[n], Webhook: "wh_parked", Community: "default", Reason: reason, Sequence: uint64(n) + 1})
	}
	park(4, applier.Paused)
	park(5, applier.KeyUnavailable) // its message, the one of e, waits for others to be acked
	park(7, applier.Paused)
	replay := delivery.NewID()
	postgrestest.Park(t, i.DB, postgrestest.Parked{ID: ids[2], Replay: replay, Webhook: "wh_c", Community: "default", Reason: applier.Paused})

	newestFirst := slices.Clone(ids)
	slices.Reverse(newestFirst)
	state := func(d admin.Delivery) string {
		switch {
		case d.WaitingReplay != nil:
			return "failed, a replay waits: " + string(d.WaitingReplay.Why)
		case d.Pending == nil:
			return string(d.Status)
		case d.Pending.State == delivery.StateParked:
			return "parked: " + *d.Pending.Why
		}
		return string(d.Pending.State)
	}
	want := []string{"parked: paused", "queued", "parked: key_unavailable", "parked: paused", "failed", "failed, a replay waits: paused", "failed", "failed"}
	check := func(about string, got []admin.Delivery, wantIDs []delivery.ID, want []string) {
		t.Helper()
		var gotIDs []delivery.ID
		var states []string
		for _, d := range got {
			gotIDs, states = append(gotIDs, d.ID), append(states, state(d))
		}
		if diff := cmp.Diff(wantIDs, gotIDs) + cmp.Diff(want, states); diff != "" {
			t.Errorf("%s (-want +got):\n%s", about, diff)
		}
	}
	h := i.with(nothingIsOverdue)
	list, err := h.List(t.Context(), history.Filter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	check("all", list.Deliveries, newestFirst, want)
	if list, err = h.List(t.Context(), history.Filter{Limit: 100, Status: delivery.Pending}); err != nil {
		t.Fatal(err)
	}
	check("pending", list.Deliveries, newestFirst[:4], want[:4])
	if list, err = h.List(t.Context(), history.Filter{Limit: 100, WebhookID: "wh_parked"}); err != nil {
		t.Fatal(err)
	}
	check("of the webhook", list.Deliveries, []delivery.ID{ids[7], ids[5], ids[4]}, []string{want[0], want[2], want[3]})
	for size := 1; size < 10; size++ {
		var met []admin.Delivery
		for at, more := (history.Place{}), true; more; {
			page, err := h.Page(t.Context(), history.Filter{Limit: size}, at)
			if err != nil || page.Unchecked != nil {
				t.Fatal(err, page.Unchecked)
			}
			met = append(met, page.Deliveries...)
			at, more = history.Place{Before: met[len(met)-1].ID}, page.Older
		}
		check("pages", met, newestFirst, want)
		page, err := h.Page(t.Context(), history.Filter{Limit: size}, history.Place{After: ids[0]})
		if err != nil || page.Deliveries[len(page.Deliveries)-1].ID != ids[1] || len(page.Deliveries) != min(size, 7) {
			t.Errorf("back, %d a page: %+v, %v", size, page.Deliveries, err)
		}
	}
	for n, id := range newestFirst {
		if full, err := h.Show(t.Context(), id); err != nil || full.ID != id || state(full.Delivery) != want[n] {
			t.Errorf("%s is shown as %q, want %q; %v", id, state(full.Delivery), want[n], err)
		}
	}
}

// TestOnlyWhatIsParkedAgainstTheAdminsWillIsOverdue: a webhook is paused on purpose.
func TestOnlyWhatIsParkedAgainstTheAdminsWillIsOverdue(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	for _, reason := range []applier.ParkReason{applier.Paused, applier.KeyUnavailable, applier.NewerFormat} {
		id := delivery.NewID()
		postgrestest.Park(t, i.DB, postgrestest.Parked{
			ID: id, Webhook: "wh_a", Community: "default", Reason: reason, Body: "the payload", Headers: []delivery.Header{{Name: "X-Kind", Value: "a"}},
		})
		full, err := i.with(everythingIsOverdue).Show(t.Context(), id)
		if err != nil || string(full.Payload) != "the payload" || len(full.Headers) != 1 || full.Status != delivery.Pending || full.Executions == nil {
			t.Errorf("%s is shown as %+v, %v", reason, full, err)
		}
		p := full.Pending
		if p.Overdue != (reason != applier.Paused) || p.Since == nil || p.Attempts != nil || *p.Why != string(reason) || *p.Detail != "because" {
			t.Errorf("%s: %+v", reason, p)
		}
		if text := p.Text(); !strings.Contains(text, "parked since ") || !strings.Contains(text, ": "+string(reason)+", because") {
			t.Errorf("%s in words: %s", reason, text)
		}
	}
}

// TestAParkedDeliveryOfALockedUserIsFoundByTheUser.
func TestAParkedDeliveryOfALockedUserIsFoundByTheUser(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	if _, err := i.Store.ImportUsers(t.Context(), "default", []postgres.NewUser{{Email: "ann@example.com"}}); err != nil {
		t.Fatal(err)
	}
	ann, err := i.Store.FindUser(t.Context(), "default", "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	id := delivery.NewID()
	postgrestest.Park(t, i.DB,
		postgrestest.Parked{ID: id, Webhook: "wh_a", Community: "default", Reason: applier.UserLocked, User: ann.ID},
		postgrestest.Parked{ID: delivery.NewID(), Webhook: "wh_a", Community: "default", Reason: applier.Paused})
	h := i.with(nothingIsOverdue)
	list, err := h.List(t.Context(), history.Filter{Limit: 100, UserID: ann.ID})
	if err != nil || len(list.Deliveries) != 1 || list.Deliveries[0].ID != id || list.Deliveries[0].User.Name() != "ann@example.com" || !list.Deliveries[0].IsLocked() {
		t.Errorf("of the user: %+v, %v", list.Deliveries, err)
	}
	tx, err := i.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it only held the lock
	if _, err := tx.ExecContext(t.Context(), "SELECT FROM users FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	for about, ask := range map[string]func() ([]history.LockHolder, error){
		"the user":    func() ([]history.LockHolder, error) { return h.LockHolders(t.Context(), ann.ID) },
		"the webhook": func() ([]history.LockHolder, error) { return h.LockHoldersOf(t.Context(), "wh_a") },
	} {
		if holders, err := ask(); err != nil || len(holders) != 1 || !strings.Contains(history.HolderText(holders[0]), "idle in transaction") {
			t.Errorf("%s is held by %+v, %v", about, holders, err)
		}
	}
	groups, err := h.ParkedGroups(t.Context())
	if err != nil || len(groups) != 2 {
		t.Fatalf("%+v, %v", groups, err)
	}
	for _, g := range groups {
		if !strings.HasPrefix(g.Text(), `1 delivery of "wh_a", for `) || !strings.HasSuffix(g.Text(), ": "+string(g.Reason)) || g.Advice() == "" || g.IsLocked() != (g.Reason == applier.UserLocked) {
			t.Errorf("%s %s", g.Text(), g.Advice())
		}
	}
}

// TestAMarkChangesWithParkedRows, within a second or so.
func TestAMarkChangesWithParkedRows(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	h := i.with(nothingIsOverdue)
	before, err := h.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	postgrestest.Park(t, i.DB, postgrestest.Parked{ID: delivery.NewID(), Webhook: "wh_a", Community: "default", Reason: applier.Paused})
	appliertest.Eventually(t, "the mark changes", func() bool {
		after, err := h.Mark(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return after.String() != before.String()
	})
}

// TestAdjustmentsAreOfTheirCommunity, though no webhook says so: pending, parked, and in the
// news of it.
func TestAdjustmentsAreOfTheirCommunity(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	h := i.with(nothingIsOverdue)
	before, err := h.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := applier.Adjustment{Community: "alpha", User: delivery.NewID().String(), Currency: "coins", Operator: "add", Amount: "7", Note: "sorry"}.Delivery()
	if err != nil {
		t.Fatal(err)
	}
	d.ReceivedAt = time.Now()
	i.send(d)
	after, err := h.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if communities, all, err := h.Changed(t.Context(), before, after); err != nil || all || !slices.Equal(communities, []string{"alpha"}) {
		t.Errorf("news of %q, of all %t, %v", communities, all, err)
	}
	parked := delivery.NewID()
	postgrestest.Park(t, i.DB, postgrestest.Parked{ID: parked, Webhook: applier.AdjustmentID, Community: "alpha", Reason: applier.NewerFormat})
	for community, want := range map[string][]string{"": {"Adjustment", "Adjustment: sorry"}, "alpha": {"Adjustment", "Adjustment: sorry"}, "beta": nil} {
		list, err := h.List(t.Context(), history.Filter{Community: community, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range list.Deliveries {
			got = append(got, d.Webhook)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("of %q (-want +got):\n%s", community, diff)
		}
	}
}
