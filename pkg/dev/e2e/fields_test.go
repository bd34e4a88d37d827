package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fieldEntryJSON is a line of `fields history`.
type fieldEntryJSON struct {
	User       userRefJSON `json:"user"`
	Field      string      `json:"field"`
	Value      string      `json:"value"`
	Current    bool        `json:"current"`
	Action     string      `json:"action"`
	DeliveryID string      `json:"delivery_id"`
	At         time.Time   `json:"at"`
}

// fieldHistory returns the history of the community, narrowed by the flags given.
func (w *world) fieldHistory(t *testing.T, flags ...string) []fieldEntryJSON {
	t.Helper()
	var all []fieldEntryJSON
	w.query(t, &all, append([]string{"fields", "history", "--community", w.community}, flags...)...)
	return all
}

// set runs a change of currencies or fields.
func (w *world) set(t *testing.T, args ...string) map[string]any {
	t.Helper()
	var got map[string]any
	args = append(args, "--community", w.community)
	if args[1] == "set" {
		args = append(args, "--create-community")
	}
	w.query(t, &got, args...)
	return got
}

// profileMappings change two currencies and two custom fields.
const profileMappings = userLine + `mappings:
  - {currency: coins, operator: add, value: {path: order.coins}}
  - {field: favourite_team, value: {path: team}}
  - {currency: gems, operator: add, value: {path: order.gems}}
  - {field: level, value: {path: level}}
`

// newProfileHook makes the currency and the fields, and a webhook about them.
func newProfileHook(t *testing.T, w *world) *hook {
	t.Helper()
	gems := w.set(t, "currencies", "set", "gems", "--scale", "2")
	want := map[string]any{"community": w.community, "code": "gems", "scale": 2.0, "minimum": "0.00", "maximum": nil}
	if diff := cmp.Diff(want, gems); diff != "" {
		t.Errorf("currencies set (-want +got):\n%s", diff)
	}
	team := w.set(t, "fields", "set", "favourite_team", "--type", "select", "--option", "red", "--option", "blue")
	want = map[string]any{"community": w.community, "name": "favourite_team", "type": "select", "options": []any{"red", "blue"}}
	if diff := cmp.Diff(want, team); diff != "" {
		t.Errorf("fields set (-want +got):\n%s", diff)
	}
	w.set(t, "fields", "set", "level", "--type", "number")
	return w.hook(t, "profile", "active", profileMappings)
}

func TestCurrenciesAndFieldsOfADeliveryTakeEffectTogether(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := newProfileHook(t, w)
	const body = `{"user":"ann","team":"red","level":7.0,"order":{"coins":3,"gems":"12.50"}}`
	d := w.settled(t, h.deliver(t, body))
	wantApplied(t, d)
	if diff := cmp.Diff([]changeJSON{{"coins", "add", "3", "3"}, {"gems", "add", "12.50", "12.50"}}, d.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]fieldJSON{{"favourite_team", "red"}, {"level", "7.0"}}, d.Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	ann := w.user(t, "ann")
	if diff := cmp.Diff(map[string]string{"coins": "3", "gems": "12.50", "xp": "0"}, ann.Balances); diff != "" {
		t.Errorf("balances (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"favourite_team": "red", "level": "7.0"}, ann.Fields); diff != "" {
		t.Errorf("fields of the user (-want +got):\n%s", diff)
	}
	var logs []logJSON
	if w.query(t, &logs, "logs", "list", "--community", w.community, "--currency", "gems"); len(logs) != 1 || logs[0].Amount != "12.50" {
		t.Errorf("logs of gems = %+v", logs)
	}
}

func TestAnInvalidSecondAmountChangesNothingAtAll(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := newProfileHook(t, w)
	tests := []failure{
		{"too_many_decimals", "ann", `{"user":"ann","team":"red","level":7,"order":{"coins":3,"gems":"12.505"}}`, "invalid_amount", []string{"order.gems", "decimals", "2"}},
		{"a_word", "ann", `{"user":"ann","team":"red","level":7,"order":{"coins":3,"gems":"twelve"}}`, "invalid_amount", []string{"order.gems", "string"}},
		{"not_there", "ann", `{"user":"ann","team":"red","level":7,"order":{"coins":3}}`, "missing_field", []string{"order.gems"}},
		{"negative", "ann", `{"user":"ann","team":"red","level":7,"order":{"coins":3,"gems":-0.01}}`, "negative_amount", []string{"order.gems", "-0.01"}},
		{"too_much", "ann", `{"user":"ann","team":"red","level":7,"order":{"coins":3,"gems":92233720368547758.08}}`, "amount_out_of_range", []string{"order.gems"}},
		{"a_field_after_it", "ann", `{"user":"ann","team":"red","level":"high","order":{"coins":3,"gems":1}}`, "invalid_field_value", []string{"level"}},
		{"no_option", "ann", `{"user":"ann","team":"green","level":7,"order":{"coins":3,"gems":1}}`, "invalid_field_value", []string{"team"}},
	}
	ids := make([]string, len(tests))
	for i, test := range tests {
		ids[i] = h.deliver(t, test.body)
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) { wantFailed(t, w.settled(t, ids[i]), test) })
	}
	ann := w.user(t, "ann")
	if diff := cmp.Diff(map[string]string{"coins": "0", "gems": "0.00", "xp": "0"}, ann.Balances); diff != "" || len(ann.Fields) != 0 {
		t.Errorf("ann has the fields %v and (-want +got):\n%s", ann.Fields, diff)
	}
	if history := w.fieldHistory(t); len(history) != 0 {
		t.Errorf("history of fields = %+v", history)
	}
	var logs []logJSON
	if w.query(t, &logs, "logs", "list", "--community", w.community); len(logs) != 0 {
		t.Errorf("logs = %+v", logs)
	}
	if touched := w.rowsOf(t, ids); touched != 0 {
		t.Errorf("%d rows of effects, want none", touched)
	}
}

// rowsOf counts what deliveries changed, by the tables.
func (w *world) rowsOf(t *testing.T, ids []string) (n int) {
	t.Helper()
	for _, id := range ids {
		var of int
		err := w.db.QueryRowContext(withDeadline(t), `SELECT (SELECT count(*) FROM gamification_logs WHERE delivery_id = $1)
			+ (SELECT count(*) FROM field_history WHERE delivery_id = $1) + (SELECT count(*) FROM user_fields WHERE delivery_id = $1)`, id).Scan(&of)
		if err != nil {
			t.Fatal(err)
		}
		n += of
	}
	return n
}

func TestATenthThreeTimesIsThreeTenths(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	w.set(t, "currencies", "set", "gems", "--scale", "2")
	w.set(t, "currencies", "set", "stars", "--scale", "1")
	w.set(t, "currencies", "set", "dust", "--scale", "6")
	h := w.hook(t, "shop", "active", userLine+`mappings:
  - {currency: gems, operator: add, value: {path: amount}}
  - {currency: stars, operator: add, value: {path: amount}}
  - {currency: dust, operator: add, value: {path: amount}}
`)
	for i, step := range []struct{ amount, gems, stars, dust string }{
		{`0.1`, "0.10", "0.1", "0.100000"},
		{`"0.1"`, "0.20", "0.2", "0.200000"},
		{`1e-1`, "0.30", "0.3", "0.300000"},
	} {
		d := w.settled(t, h.deliver(t, coinsBody("ann", step.amount)))
		want := []changeJSON{{"gems", "add", "0.10", step.gems}, {"stars", "add", "0.1", step.stars}, {"dust", "add", "0.100000", step.dust}}
		if diff := cmp.Diff(want, d.Changes); diff != "" {
			t.Errorf("changes of number %d (-want +got):\n%s", i+1, diff)
		}
	}
	got := w.user(t, "ann").Balances
	if diff := cmp.Diff(map[string]string{"gems": "0.30", "stars": "0.3", "dust": "0.300000", "coins": "0", "xp": "0"}, got); diff != "" {
		t.Errorf("balances (-want +got):\n%s", diff)
	}
	if taking := w.coinhook(t, "currencies", "set", "gems", "--scale", "3", "--community", w.community); taking.code != 1 {
		t.Errorf("a scale that amounts have is changed: exit %d, %s", taking.code, taking.stdout)
	}
}

// Of two deliveries the first is in the hands of an applier that dies. It is settled
// first all the same, by the next owner of its partition.
func TestTheLaterInTheStreamWinsThoughAnApplierDies(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	w.set(t, "fields", "set", "team", "--type", "text")
	h := w.hook(t, "teams", "active", userLine+"mappings:\n  - {field: team, value: {path: team}}\n")
	body := func(team string) string { return `{"user":"ann","team":"` + team + `"}` }
	inOrder := h.deliver(t, body("green"))
	w.awaitRows(t, inOrder)

	unlock := w.holdWrites(t)
	earlier := h.deliver(t, body("red"))
	w.awaitBlocked(t)
	for _, name := range w.appliers() {
		w.kill(t, name)
	}
	later := h.deliver(t, body("blue"))
	unlock()
	w.awaitRows(t, earlier, later)

	wantApplied(t, w.show(t, earlier))
	wantApplied(t, w.show(t, later))
	if diff := cmp.Diff(map[string]string{"team": "blue"}, w.user(t, "ann").Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	got := map[string]fieldEntryJSON{}
	for _, e := range w.fieldHistory(t, "--user", "ann", "--field", "team") {
		if e.At.IsZero() || e.User.Username != "ann" {
			t.Errorf("entry = %+v", e)
		}
		e.At, e.User = time.Time{}, userRefJSON{}
		got[e.DeliveryID] = e
	}
	want := map[string]fieldEntryJSON{
		inOrder: {Field: "team", Value: "green", Action: "teams", DeliveryID: inOrder},
		earlier: {Field: "team", Value: "red", Action: "teams", DeliveryID: earlier},
		later:   {Field: "team", Value: "blue", Action: "teams", DeliveryID: later, Current: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestFieldsTakeWhatTheirTypeSays(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	for _, test := range []struct {
		kind, good, want, bad string
	}{
		{"text", `1.50`, "1.50", `{}`},
		{"number", `"1e2"`, "1e2", `"1e"`},
		{"boolean", `"true"`, "true", `"yes"`},
		{"date", `"2026-02-28"`, "2026-02-28", `"2026-02-30"`},
	} {
		t.Run(test.kind, func(t *testing.T) {
			name := "a_" + test.kind
			w.set(t, "fields", "set", name, "--type", test.kind)
			h := w.hook(t, name, "active", userLine+"mappings:\n  - {field: "+name+", value: {path: value}}\n")
			body := func(value string) string { return `{"user":"ann","value":` + value + `}` }
			good := h.deliver(t, body(test.good))
			w.awaitRows(t, good)
			d := w.settled(t, h.deliver(t, body(test.bad)))
			wantFailed(t, d, failure{user: "ann", body: body(test.bad), reason: "invalid_field_value", detail: []string{"value"}})
			if got := w.user(t, "ann").Fields[name]; got != test.want {
				t.Errorf("%s = %q, want %q", name, got, test.want)
			}
			history := w.fieldHistory(t, "--field", name)
			if len(history) != 1 || history[0].DeliveryID != good || !history[0].Current {
				t.Errorf("history = %+v, want the good one, which holds", history)
			}
		})
	}
}

// Each applier hears of a field that was deleted within seconds.
func TestADeletedFieldKeepsItsHistory(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	w.set(t, "fields", "set", "team", "--type", "text")
	h := w.hook(t, "teams", "active", userLine+"mappings:\n  - {field: team, value: {path: team}}\n")
	const body = `{"user":"ann","team":"red"}`
	w.awaitRows(t, h.deliver(t, body))
	if got := w.set(t, "fields", "delete", "team"); got["deleted"] != "team" || got["values"] != 1.0 {
		t.Errorf("fields delete = %v", got)
	}
	eventually(t, func(context.Context) error {
		d := w.settled(t, h.deliver(t, body))
		if d.Outcome == "applied" {
			return errors.New("the field is still set")
		}
		if d.Reason != "invalid_mapping" {
			t.Errorf("reason = %s (%s), want invalid_mapping", d.Reason, d.Detail)
		}
		return nil
	})
	if ann := w.user(t, "ann"); len(ann.Fields) != 0 {
		t.Errorf("ann has the fields %v", ann.Fields)
	}
	for _, e := range w.fieldHistory(t, "--user", "ann") {
		if e.Value != "red" || e.Current {
			t.Errorf("entry = %+v, want it kept, and not to hold", e)
		}
	}
}
