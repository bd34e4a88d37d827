package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// postMany sends the same request so many times, 50 at a time.
func (h *hook) postMany(t *testing.T, times int, body string, pairs ...string) {
	t.Helper()
	const together = 50
	todo := make(chan struct{}, times)
	for range times {
		todo <- struct{}{}
	}
	close(todo)
	var sending sync.WaitGroup
	for range together {
		sending.Go(func() {
			for range todo {
				if got := h.post(t, body, pairs...); got.status != 202 {
					t.Errorf("answer = %d %s, want 202", got.status, got.body)
				}
			}
		})
	}
	sending.Wait()
}

func TestAThousandRetriesTakeEffectOnceWhateverIsKilled(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	body, appliers := coinsBody("ann", "7"), w.appliers()
	key := []string{"Idempotency-Key", "order-1"}

	// The first that are to take effect die inside of their transactions.
	unlock := w.holdWrites(t)
	h.postMany(t, 400, body, key...)
	w.awaitBlocked(t)
	w.kill(t, appliers[0])
	unlock()
	var killing sync.WaitGroup
	killing.Go(func() { w.killAndAwait(t, appliers[1]) })
	h.postMany(t, 600, body, key...)
	killing.Wait()

	const sent = 1000
	eventually(t, func(ctx context.Context) error {
		var n int
		err := w.db.QueryRowContext(ctx, "SELECT count(*) FROM outcomes WHERE community = $1", w.community).Scan(&n)
		if err == nil && n < sent {
			err = fmt.Errorf("%d outcomes of %d deliveries", n, sent)
		}
		return err
	})
	w.wantNonePending(t)
	first, duplicates := "", map[string]int{}
	for _, d := range w.list(t, "--webhook", h.ID, "--limit", strconv.Itoa(2*sent)) {
		switch {
		case d.Status == "success" && d.Outcome == "applied" && d.DuplicateOf == nil && first == "":
			first = d.ID
			if len(d.Changes) != 1 || d.Changes[0] != (changeJSON{"coins", "add", "7", "7"}) {
				t.Errorf("changes = %v, want 7 coins once", d.Changes)
			}
		case d.Status == "success" && d.Outcome == "duplicate" && d.DuplicateOf != nil && len(d.Changes) == 0:
			duplicates[*d.DuplicateOf]++
		default:
			t.Errorf("delivery = %+v, want one that is applied, and else duplicates without changes", d)
		}
	}
	if first == "" || len(duplicates) != 1 || duplicates[first] != sent-1 {
		t.Errorf("applied is %q, and there are these duplicates: %v; want %d of that one", first, duplicates, sent-1)
	}
	var logs []logJSON
	w.query(t, &logs, "logs", "list", "--webhook", h.ID, "--limit", strconv.Itoa(sent))
	if len(logs) != 1 || logs[0].DeliveryID != first {
		t.Errorf("logs = %+v, want one, of %s", logs, first)
	}
	w.wantBalances(t, "ann", "7", "0")
	w.checkLogs(t)
}

func wantDuplicate(t *testing.T, d deliveryJSON, first string) {
	t.Helper()
	if d.Status != "success" || d.Outcome != "duplicate" || d.DuplicateOf == nil || *d.DuplicateOf != first || len(d.Changes) != 0 {
		t.Errorf("%s %s%s (%s), duplicate of %v, changes %v; want a duplicate of %s",
			d.Status, d.Outcome, d.Reason, d.Detail, d.DuplicateOf, d.Changes, first)
	}
}

func wantApplied(t *testing.T, d deliveryJSON) {
	t.Helper()
	if d.Status != "success" || d.Outcome != "applied" || d.DuplicateOf != nil {
		t.Errorf("%s %s%s (%s), want it applied", d.Status, d.Outcome, d.Reason, d.Detail)
	}
}

func TestAFailedDeliveryDoesNotUseItsKeyUp(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	h := w.hook(t, "shop", "active", userLine+addCoins)
	body := coinsBody("ann", "5")
	send := func() deliveryJSON { return w.settled(t, h.deliver(t, body, "Idempotency-Key", "k")) }
	wantFailed(t, send(), failure{body: body, reason: "user_not_found"})
	w.addUsers(t, "ann")
	applied := send()
	wantApplied(t, applied)
	wantDuplicate(t, send(), applied.ID)
	w.wantBalances(t, "ann", "5", "0")
}

// keyed is one delivery after another, in the order of the table.
type keyed struct {
	name, body string
	header     []string
	want       string // applied, "=" and the number of the first one, or a reason
	detail     []string
}

// eventBody has more than one place for a key.
func eventBody(id, amount string) string {
	return fmt.Sprintf(`{"user":"ann","event":{"id":%s},"amount":%s}`, id, amount)
}

func TestIdempotencyKeysComeFromWhereTheDefinitionSays(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	for _, test := range []struct {
		name, definition string
		steps            []keyed
	}{
		{"by_default", "", []keyed{
			{"the_first", eventBody("1", "1"), []string{"Idempotency-Key", "k1"}, "applied", nil},
			{"again", eventBody("1", "1"), []string{"idempotency-key", "k1"}, "=0", nil},
			{"another_body", eventBody("1", "2"), []string{"Idempotency-Key", "k1"}, "idempotency_conflict", []string{"Idempotency-Key"}},
			{"another_key", eventBody("1", "1"), []string{"Idempotency-Key", "k2"}, "applied", nil},
			{"keys_have_case", eventBody("1", "1"), []string{"Idempotency-Key", "K2"}, "applied", nil},
			{"no_key", eventBody("1", "1"), nil, "applied", nil},
			{"no_key_again", eventBody("1", "1"), nil, "applied", nil},
			{"webhook-id", eventBody("1", "1"), []string{"Webhook-Id", "m1"}, "applied", nil},
			{"webhook-id_again", eventBody("1", "1"), []string{"Webhook-Id", "m1"}, "=7", nil},
			{"Idempotency-Key_goes_first", eventBody("1", "2"), []string{"Webhook-Id", "m1", "Idempotency-Key", "k3"}, "applied", nil},
		}},
		{"a_header", "idempotency: {header: X-Event-Id}\n", []keyed{
			{"the_first", eventBody("1", "1"), []string{"X-Event-Id", "e1"}, "applied", nil},
			{"again", eventBody("1", "1"), []string{"x-event-id", "e1"}, "=0", nil},
			{"another_body", eventBody("1", "3"), []string{"X-Event-Id", "e1"}, "idempotency_conflict", []string{"X-Event-Id"}},
			{"the_usual_headers_do_not_count", eventBody("1", "1"), []string{"X-Event-Id", "e2", "Idempotency-Key", "e1"}, "applied", nil},
			{"not_there", eventBody("1", "1"), []string{"Idempotency-Key", "e1"}, "missing_field", []string{"X-Event-Id"}},
		}},
		{"a_path", "idempotency: {path: event.id}\n", []keyed{
			{"the_first", eventBody(`"e1"`, "1"), nil, "applied", nil},
			{"again_with_another_header", eventBody(`"e1"`, "1"), []string{"Idempotency-Key", "x"}, "=0", nil},
			{"another_body", eventBody(`"e1"`, "2"), nil, "idempotency_conflict", []string{"event.id"}},
			{"another_key", eventBody(`"e2"`, "1"), []string{"Idempotency-Key", "x"}, "applied", nil},
			{"a_number", eventBody("17", "1"), nil, "applied", nil},
			{"the_number_again", eventBody("17", "1"), nil, "=4", nil},
			{"null", eventBody("null", "1"), nil, "missing_field", []string{"event.id"}},
			{"not_there", coinsBody("ann", "1"), nil, "missing_field", []string{"event.id"}},
			{"an_object", eventBody("{}", "1"), nil, "invalid_field_value", []string{"event.id", "an object"}},
		}},
		{"the_body", "idempotency: {body: true}\n", []keyed{
			{"the_first", eventBody("1", "1"), nil, "applied", nil},
			{"again", eventBody("1", "1"), []string{"Idempotency-Key", "y"}, "=0", nil},
			{"another_body", eventBody("2", "1"), []string{"Idempotency-Key", "y"}, "applied", nil},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := w.hook(t, test.name, "active", userLine+test.definition+addCoins)
			ids := make([]string, len(test.steps))
			for i, step := range test.steps {
				ids[i] = h.deliver(t, step.body, step.header...)
				w.awaitRows(t, ids[i])
			}
			for i, step := range test.steps {
				t.Run(step.name, func(t *testing.T) { wantKeyed(t, w.show(t, ids[i]), step, ids) })
			}
		})
	}
	w.wantBalances(t, "ann", "15", "0") // 8 + 2 + 3 + 2
	w.checkLogs(t)
}

func wantKeyed(t *testing.T, d deliveryJSON, step keyed, ids []string) {
	t.Helper()
	number, duplicate := strings.CutPrefix(step.want, "=")
	switch {
	case step.want == "applied":
		wantApplied(t, d)
	case duplicate:
		first, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		wantDuplicate(t, d, ids[first])
	default:
		detail := step.detail
		if step.want == "idempotency_conflict" {
			detail = append(detail, ids[0]) // each table's conflicts are with its first one
		}
		wantFailed(t, d, failure{user: "ann", body: step.body, reason: step.want, detail: detail})
	}
}

func TestAnIdempotencyKeyBelongsToOneWebhook(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	for _, name := range []string{"one", "two"} {
		h := w.hook(t, name, "active", userLine+addCoins)
		wantApplied(t, w.settled(t, h.deliver(t, coinsBody("ann", "1"), "Idempotency-Key", "k")))
	}
	w.wantBalances(t, "ann", "2", "0")
}

// What was applied stays applied, whatever the mapping says by then.
func TestARetryIsADuplicateAfterTheMappingHasChanged(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	body := coinsBody("ann", "3")
	first := w.settled(t, h.deliver(t, body, "Idempotency-Key", "k"))
	wantApplied(t, first)
	h.apply(t, strings.Replace(h.yaml, "path: amount", "path: nowhere", 1))
	eventually(t, func(context.Context) error {
		if d := w.settled(t, h.deliver(t, body)); d.Version != 2 {
			return fmt.Errorf("version %d still decides", d.Version)
		}
		return nil
	})
	again := w.settled(t, h.deliver(t, body, "Idempotency-Key", "k"))
	if again.Version != 2 {
		t.Errorf("version %d decides, want 2", again.Version)
	}
	wantDuplicate(t, again, first.ID)
}
