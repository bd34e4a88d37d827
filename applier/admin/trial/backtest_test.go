package trial_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestADefinitionIsComparedWithTheOneInForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop+"  - {currency: xp, operator: add, value: {path: xp}}\n")
	w.sendBodies(
		`{"email":"ann@example.com","coins":5,"points":0,"xp":0}`, // coins -> points: add nothing
		`{"email":"bob@example.com","coins":5,"points":5,"xp":1}`, // xp is left
		`{"email":"bob@example.com","coins":5,"xp":0}`,
		`{"email":"ann@example.com","coins":6,"xp":0}`,
		`{"email":"ann@example.com","points":7}`,
		`{"email":"ann@example.com"}`,
		`{"email":"nobody@example.com","coins":5,"points":5,"xp":1}`,
		`no JSON`,
	)
	got := w.try(strings.Replace(shop, "path: coins", "path: points", 1) + "  - {currency: xp, operator: add, value: {constant: \"1\"}}\n")
	w.check(got,
		"1 unchanged, 0 depend on the balance, 3 still failing",
		"different: ann@example.com add 5 coins applied -> ann@example.com add 1 xp applied",
		"newly failing: missing_field at points, 2",
		"newly succeeding: missing_field -> ann@example.com add 7 coins add 1 xp applied",
	)
	if got.Deliveries != 8 || got.Asked != 1000 || got.Messages != 8 || got.GaveUp || got.Version != 1 || got.Webhook != "Shop" {
		t.Errorf("%+v", got)
	}
	if len(got.NewlyFailing) != 1 || !strings.Contains(got.NewlyFailing[0].Detail, "points") {
		t.Errorf("newly failing: %+v", got.NewlyFailing)
	}
	u, err := w.Store.FindUser(t.Context(), "default", "ann@example.com")
	if err != nil || len(u.Balances) != 0 {
		t.Errorf("trying has given ann %v, %v", u.Balances, err)
	}
}

func TestTheOrderOfChangesAndTheUserMatterAndThatOfFieldsDoesNot(t *testing.T) {
	t.Parallel()
	const head = "name: Shop\nstate: active\nuser: {by: email, path: email}\nmappings:\n"
	const coins, xp = "  - {currency: coins, operator: add, value: {constant: \"1\"}}\n", "  - {currency: xp, operator: add, value: {constant: \"2\"}}\n"
	const team, town = "  - {field: team, value: {path: team}}\n", "  - {field: town, value: {path: town}}\n"
	w := newWorld(t, head+coins+xp+team+town)
	for _, name := range []string{"team", "town"} {
		if err := w.Store.SetField(t.Context(), "default", applier.Field{Name: name, Type: applier.Text}); err != nil {
			t.Fatal(err)
		}
	}
	w.sendBodies(`{"email":"nobody@example.com","team":"red","town":"Bern"}`,
		`{"email":"ann@example.com","other":"bob@example.com","team":"red","town":"Bern"}`)
	w.check(w.try(head+coins+xp+town+team), "1 unchanged, 0 depend on the balance, 1 still failing")
	w.check(w.try(head+xp+coins+town+team),
		"0 unchanged, 0 depend on the balance, 1 still failing",
		"different: ann@example.com add 1 coins add 2 xp team=red town=Bern applied -> ann@example.com add 2 xp add 1 coins team=red town=Bern applied")
	w.check(w.try(strings.Replace(head, "path: email", "path: other", 1)+coins+xp+team+town),
		"0 unchanged, 0 depend on the balance, 1 still failing",
		"different: ann@example.com add 1 coins add 2 xp team=red town=Bern applied -> bob@example.com add 1 coins add 2 xp team=red town=Bern applied")
}

func TestAFailureForTodaysBalanceIsNoFailureOfTheDefinition(t *testing.T) {
	t.Parallel()
	spend := strings.Replace(shop, "operator: add", "operator: subtract", 1)
	w := newWorld(t, shop)
	ids := w.sendBodies(`{"email":"ann@example.com","coins":5}`, `{"email":"bob@example.com","coins":0}`)
	got := w.try(spend)
	w.check(got, "1 unchanged, 1 depend on the balance, 0 still failing")
	if c := got.DependsOnBalanceExample; c == nil || c.ID != ids[0] || text(c.After) != "ann@example.com subtract 5 coins insufficient_balance" {
		t.Errorf("the example is %+v", c)
	}

	w.update(spend)
	w.check(w.try(spend), "1 unchanged, 0 depend on the balance, 1 still failing")
	w.check(w.try(shop), "1 unchanged, 1 depend on the balance, 0 still failing")
	w.check(w.try(strings.Replace(spend, "path: coins", "path: coins, times: 2", 1)),
		"1 unchanged, 0 depend on the balance, 0 still failing",
		"different: ann@example.com subtract 5 coins insufficient_balance -> ann@example.com subtract 10 coins insufficient_balance")
	// This one fails whatever the balance is.
	w.check(w.try(strings.Replace(spend, "path: coins", "path: nothing", 1)),
		"0 unchanged, 0 depend on the balance, 0 still failing", "newly failing: missing_field at nothing, 2")
}

func TestTakenKeysDoNotMakeEverythingADuplicate(t *testing.T) {
	t.Parallel()
	keyed := shop + "idempotency: {path: order}\n"
	w := newWorld(t, keyed)
	w.sendBodies(
		`{"email":"ann@example.com","coins":5,"order":1,"line":1}`,
		`{"email":"ann@example.com","coins":5,"order":1,"line":1}`,
		`{"email":"ann@example.com","coins":6,"order":2,"line":1}`,
	)
	w.settle()
	double := strings.Replace(keyed, "path: coins", "path: coins, times: 2", 1)
	w.check(w.try(double),
		"1 unchanged, 0 depend on the balance, 0 still failing", // the duplicate
		"different: ann@example.com add 5 coins applied -> ann@example.com add 10 coins applied",
		"different: ann@example.com add 6 coins applied -> ann@example.com add 12 coins applied",
	)
	w.check(w.try(strings.Replace(keyed, "path: order", "path: line", 1)),
		"2 unchanged, 0 depend on the balance, 0 still failing",
		"newly failing: idempotency_conflict at line, 1")
	w.check(w.try(shop),
		"2 unchanged, 0 depend on the balance, 0 still failing",
		"different: duplicate -> ann@example.com add 5 coins applied")
}

func TestTheNewestDeliveriesOfTheWebhookAreTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	twice := w.delivery(`{"email":"ann@example.com","coins":1}`)
	replayed := w.delivery(`{"email":"ann@example.com"}`)
	again := replayed
	again.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual}
	other := w.delivery(`{}`)
	other.WebhookID = webhook.NewID()
	w.send(twice, w.delivery(`{"email":"ann@example.com","coins":2}`), other, replayed, twice, again, other)

	double := strings.Replace(shop, "path: coins", "path: coins, times: 2", 1)
	two := "different: ann@example.com add 2 coins applied -> ann@example.com add 4 coins applied"
	one := strings.NewReplacer("4", "2", "2", "1").Replace(two)
	w.check(w.try(double), "0 unchanged, 0 depend on the balance, 1 still failing", one, two)
	w.check(w.try(double, last(1)), "0 unchanged, 0 depend on the balance, 1 still failing")
	if got := w.try(double, last(2)); got.Messages != 4 || got.Deliveries != 2 {
		t.Errorf("looked at %d messages for %d deliveries", got.Messages, got.Deliveries)
	}
}

func TestDeadLettersStandInForWhatTheStreamHasLetGoOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	w.sendBodies(
		`{"email":"ann@example.com","points":1}`,
		`{"email":"ann@example.com","coins":2}`, // applied, and gone with its message
		`{"email":"ann@example.com","points":3}`,
		`{"email":"ann@example.com","points":4}`,
		`{"email":"ann@example.com","coins":5}`,
	)
	w.settle()
	w.stream.first = 4
	points := strings.Replace(shop, "path: coins", "path: points", 1)
	succeeds := func(n int) string {
		return fmt.Sprintf("newly succeeding: missing_field -> ann@example.com add %d coins applied", n)
	}
	fails := "newly failing: missing_field at points, 1"
	none := "0 unchanged, 0 depend on the balance, 0 still failing"
	all := w.try(points)
	w.check(all, none, fails, succeeds(1), succeeds(3), succeeds(4))
	if all.FromDeadLetters != 2 || all.Deliveries != 4 || all.Messages != 2 {
		t.Errorf("%+v", all)
	}
	w.check(w.try(points, last(3)), none, fails, succeeds(3), succeeds(4))
	w.check(w.try(points, last(2)), none, fails, succeeds(4))
}

func TestTheVersionsThatDecidedMayBeComparedWith(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	w.sendBodies(`{"email":"ann@example.com","coins":1,"points":2}`)
	w.settle()
	points := strings.Replace(shop, "path: coins", "path: points", 1)
	w.update(points)
	w.sendBodies(`{"email":"ann@example.com","coins":3,"points":4}`)
	w.settle()
	w.sendBodies(`{"email":"ann@example.com","coins":5,"points":6}`) // pending: the current one will decide
	original := func(r *trial.Request) { r.Against = trial.Original }
	w.check(w.try(points), "3 unchanged, 0 depend on the balance, 0 still failing")
	w.check(w.try(points, original), "2 unchanged, 0 depend on the balance, 0 still failing",
		"different: ann@example.com add 1 coins applied -> ann@example.com add 2 coins applied")
	for range 64 { // the first version is not kept any more
		w.update(points)
	}
	w.catalog = broker.NewCatalog(w.Conn)
	got := w.try(points, original)
	w.check(got, "3 unchanged, 0 depend on the balance, 0 still failing")
	if got.VersionsGone != 2 {
		t.Errorf("%d versions are gone, want 2", got.VersionsGone)
	}
}

func TestListsAreKeptAsLongAsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	for range 3 {
		w.sendBodies(`{"email":"ann@example.com","coins":1,"points":2}`, `{"email":"ann@example.com","points":2}`)
	}
	got := w.try(strings.Replace(shop, "path: coins", "path: points", 1), func(r *trial.Request) { r.Keep = 2 })
	if len(got.Different) != 2 || got.DifferentCount != 3 || len(got.NewlySucceeding) != 2 || got.NewlySucceedingCount != 3 {
		t.Errorf("%+v", got)
	}
}

// busy is a stream that others fill; its newest delivery is the webhook's own.
type busy struct{ own delivery.Delivery }

func (busy) Extent(context.Context) (broker.Extent, error) {
	return broker.Extent{First: 5, Last: 12_000}, nil
}

func (b busy) Deliveries(_ context.Context, sequence uint64) ([]delivery.Delivery, error) {
	if sequence == 12_000 {
		b.own.Position = delivery.Position{Sequence: sequence}
		return []delivery.Delivery{b.own}, nil
	}
	return []delivery.Delivery{{ID: delivery.NewID(), WebhookID: "wh_other"}}, nil
}

func TestItGivesUpWhereDeliveriesAreRare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	for _, tc := range []struct {
		last, messages int
		gaveUp         bool
	}{
		{1, 1, false}, // found
		{5, 10_000, true},
		{1100, 11_000, true},
		{2000, 11_996, false}, // looked at all there is
	} {
		b := trial.NewBacktest(w.Store, busy{w.delivery(`{}`)}, w.catalog, w.evaluate())
		got, err := b.Run(t.Context(), trial.Request{Webhook: w.saved, Definition: w.saved.Definition, Last: tc.last})
		if err != nil {
			t.Fatal(err)
		}
		if got.Messages != tc.messages || got.GaveUp != tc.gaveUp || got.Deliveries != 1 {
			t.Errorf("of %d: %+v", tc.last, got)
		}
	}
}

func TestAnInterruptedBacktestEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	w.sendBodies(`{"email":"ann@example.com","coins":1}`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := trial.NewBacktest(w.Store, busy{w.delivery(`{}`)}, w.catalog, w.evaluate())
	if _, err := b.Run(ctx, trial.Request{Webhook: w.saved, Definition: w.saved.Definition, Last: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRealPayloads(t *testing.T) {
	t.Parallel()
	const data = "../../../pkg/dev/stack/demo/data/"
	read := func(name string) string {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(string(content), "community: demo\n", "", 1)
	}
	t.Run("pull requests", func(t *testing.T) {
		t.Parallel()
		inForce := read(data + "pull-requests.yaml")
		w := newWorld(t, inForce)
		w.sendBodies(read(data+"pull_request.opened.json"), read(data+"pull_request.closed.json"), read("../../mapping/testdata/pull_request.closed.json"))
		w.check(w.try(inForce), "3 unchanged, 0 depend on the balance, 0 still failing")
		both := strings.Replace(inForce, "equals: closed", "in: [opened, closed]", 1)
		w.check(w.try(both), "2 unchanged, 0 depend on the balance, 0 still failing",
			"different: skipped -> Codertocat add 50 xp applied")
		byEmail := strings.Replace(strings.Replace(inForce, "by: username", "by: email", 1), "user.login", "user.email", 1)
		w.check(w.try(byEmail), "1 unchanged, 0 depend on the balance, 0 still failing",
			"newly failing: missing_user_identifier at pull_request.user.email, 2")
	})
	t.Run("purchases", func(t *testing.T) {
		t.Parallel()
		inForce := read(data + "purchases.yaml")
		w := newWorld(t, inForce)
		if _, err := w.Store.ImportUsers(t.Context(), "default", []postgres.NewUser{{Email: "example@example.com"}}); err != nil {
			t.Fatal(err)
		}
		w.sendBodies(read(data+"checkout.session.completed.json"), read(data+"charge.refunded.json"))
		shipped := strings.Replace(inForce, "data.object.amount_total", "data.object.shipping_cost.amount_total", 1)
		w.check(w.try(shipped), "1 unchanged, 0 depend on the balance, 0 still failing",
			"newly succeeding: missing_field -> example@example.com add 11171216 coins applied")
	})
}
