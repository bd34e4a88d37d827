package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// answered is a request with these answers: a status, and the id of a 202.
func answered(number int64, answers ...answer) *request {
	return &request{number: number, user: int(number % users), answers: answers}
}

func ok(id string) answer { return answer{status: http.StatusAccepted, id: id} }

var refused = answer{status: http.StatusServiceUnavailable}

// allRight is the evidence of requests that had their effect once each.
func allRight(requests ...*request) evidence {
	e := evidence{outcomes: map[string]outcome{}, balances: map[string]int64{}, users: map[string]string{}}
	for i := range users {
		e.users[userName(i)+"-id"] = userName(i)
	}
	for _, r := range requests {
		user := userName(r.user) + "-id"
		applied := ""
		for _, a := range r.answers {
			if a.id == "" {
				continue
			}
			e.outcomes[a.id] = outcome{status: "success", outcome: "applied"}
			if applied != "" {
				e.outcomes[a.id] = outcome{status: "success", outcome: "duplicate"}
			}
			applied = a.id
		}
		if applied == "" {
			continue
		}
		e.logs = append(e.logs, logRow{number: r.number, delivery: applied, userID: user})
		e.balances[user] += r.number
	}
	return e
}

func TestTheCheckFinds(t *testing.T) {
	t.Parallel()
	keyed := answered(5, refused, ok("e"), ok("f"))
	keyed.keyed = true
	for name, test := range map[string]struct {
		requests []*request
		change   func(*evidence)
		want     []string // kinds
	}{
		"nothing_where_all_is_right": {requests: []*request{answered(1, ok("a")), answered(2, refused), keyed}},
		"nothing_where_a_503_was_stored": {
			requests: []*request{answered(2, refused)},
			change: func(e *evidence) {
				e.logs = append(e.logs, logRow{number: 2, delivery: "x", userID: "user-2-id"})
				e.balances["user-2-id"] += 2
			},
		},
		"a_delivery_without_an_outcome": {
			requests: []*request{answered(1, ok("a"))},
			change:   func(e *evidence) { delete(e.outcomes, "a") }, want: []string{"lost"},
		},
		"a_delivery_without_an_effect": {
			requests: []*request{answered(1, ok("a"))},
			change:   func(e *evidence) { e.logs, e.balances["user-1-id"] = nil, 0 }, want: []string{"lost"},
		},
		"a_request_that_was_executed_twice": {
			requests: []*request{answered(1, ok("a"))},
			change:   func(e *evidence) { e.logs = append(e.logs, logRow{number: 1, delivery: "b", userID: "user-1-id"}) },
			want:     []string{"twice"},
		},
		"a_keyed_request_that_was_applied_to_two_deliveries": {
			requests: []*request{keyed},
			change:   func(e *evidence) { e.logs = append(e.logs, logRow{number: 5, delivery: "e", userID: "user-5-id"}) },
			want:     []string{"twice"},
		},
		"an_id_that_two_requests_got":        {requests: []*request{answered(1, ok("a")), answered(2, ok("a"))}, want: []string{"twice"}},
		"a_duplicate_of_a_request_sent_once": {requests: []*request{answered(1, ok("a"))}, change: func(e *evidence) { e.outcomes["a"] = outcome{status: "success", outcome: "duplicate"} }, want: []string{"wrong"}},
		"a_failure":                          {requests: []*request{answered(1, ok("a"))}, change: func(e *evidence) { e.outcomes["a"] = outcome{status: "failed", reason: "internal"} }, want: []string{"wrong"}},
		"an_effect_on_another_user":          {requests: []*request{answered(1, ok("a"))}, change: func(e *evidence) { e.logs[0].userID = "user-2-id" }, want: []string{"wrong"}},
		"an_effect_of_nothing":               {change: func(e *evidence) { e.logs = []logRow{{number: 9}} }, want: []string{"wrong"}},
		"a_balance_that_is_too_high":         {requests: []*request{answered(1, ok("a"))}, change: func(e *evidence) { e.balances["user-1-id"]++ }, want: []string{"balance"}},
		"an_answer_that_is_no_503":           {requests: []*request{answered(1, answer{status: 500})}, want: []string{"wrong"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			e := allRight(test.requests...)
			if test.change != nil {
				test.change(&e)
			}
			tally, findings := b.enter(test.requests)
			findings = append(findings, b.check(test.requests, e, &tally)...)
			var got []string
			for _, f := range findings {
				if len(got) == 0 || got[len(got)-1] != f.Kind {
					got = append(got, f.Kind)
				}
			}
			if len(test.want) > 0 && len(got) > 0 {
				got = got[:1] // what else follows from it is no test's matter
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("kinds of findings (-want +got):\n%s\n%+v", diff, findings)
			}
		})
	}
}

// A delivery that is executed again in a later round is found there.
func TestTheCheckRemembersEarlierRounds(t *testing.T) {
	t.Parallel()
	b, first, second := newBook(), []*request{answered(1, ok("a"))}, []*request{answered(2, ok("b"))}
	tally, findings := b.enter(first)
	findings = append(findings, b.check(first, allRight(first...), &tally)...)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	e := allRight(append(first, second...)...)
	e.logs = append(e.logs, e.logs[0])
	tally, findings = b.enter(second)
	findings = append(findings, b.check(second, e, &tally)...)
	if len(findings) == 0 || tally.Twice != 1 {
		t.Errorf("%+v, %+v", tally, findings)
	}
}

func TestTheTallyCountsWhatWasStored(t *testing.T) {
	t.Parallel()
	b := newBook()
	requests := []*request{answered(1, ok("a")), answered(2, refused), answered(3, refused), answered(4, answer{})}
	e := allRight(requests...)
	e.logs = append(e.logs, logRow{number: 3, userID: "user-3-id"}, logRow{number: 4, userID: "user-4-id"})
	got, _ := b.enter(requests)
	b.check(requests, e, &got)
	want := tally{Accepted: 1, Refused: 2, Stored: 1, Unanswered: 1, UnansweredStored: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tally (-want +got):\n%s", diff)
	}
}

func TestLongestGap(t *testing.T) {
	t.Parallel()
	start := time.Unix(100, 0)
	at := func(seconds ...int) (times []time.Time) {
		for _, s := range seconds {
			times = append(times, start.Add(time.Duration(s)*time.Second))
		}
		return times
	}
	for name, test := range map[string]struct {
		times []time.Time
		want  int
	}{
		"none":           {nil, 10},
		"in_the_middle":  {at(1, 6, 7), 5},
		"at_the_start":   {at(8, 9), 8},
		"at_the_end":     {at(1, 2), 8},
		"after_the_end":  {at(1, 12), 9},
		"in_any_order":   {at(9, 1, 4), 5},
		"before_a_start": {at(-5, 4), 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := longestGap(test.times, start, start.Add(10*time.Second)); got != time.Duration(test.want)*time.Second {
				t.Errorf("%s, want %d s", got, test.want)
			}
		})
	}
}

// The same seed draws the same, and each kind comes in each deck.
func TestDraw(t *testing.T) {
	t.Parallel()
	c := campaign{Options: Options{Seed: 3}, kinds: choose(Options{})}
	seen := map[string]int{}
	for n := range 2 * len(c.kinds) {
		first, second := c.draw(n), c.draw(n)
		if len(first) != len(second) || first[0].name != second[0].name {
			t.Errorf("round %d draws %d and %d kinds", n, len(first), len(second))
		}
		if len(first) == 2 && (first[0].lone || first[1].lone || first[0].name == first[1].name) {
			t.Errorf("round %d draws %s with %s", n, first[0].name, first[1].name)
		}
		seen[first[0].name]++
	}
	for _, k := range c.kinds {
		if seen[k.name] != 2 {
			t.Errorf("%s came %d times in two decks", k.name, seen[k.name])
		}
	}
	if len(c.kinds) < 15 {
		t.Errorf("only %d kinds", len(c.kinds))
	}
}
