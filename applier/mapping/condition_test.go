package mapping_test

import (
	"testing"
)

func TestCondition(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, condition, body string
		holds                 bool
	}{
		{"equal strings", "path: v, equals: paid", `{"v":"paid"}`, true},
		{"strings differ in case", "path: v, equals: paid", `{"v":"Paid"}`, false},
		{"an escape is the character", "path: v, equals: paid", `{"v":"p\u0061id"}`, true},
		{"equal numbers in other words", "path: v, equals: 1", `{"v":1.0}`, true},
		{"equal numbers with exponents", "path: v, equals: 1.50e2", `{"v":15e1}`, true},
		{"numbers too large for a float", "path: v, equals: 9007199254740993", `{"v":9007199254740992}`, false},
		{"a giant exponent", "path: v, equals: 1", `{"v":1e999999999}`, false},
		{"a number is not its text", `path: v, equals: "1"`, `{"v":1}`, false},
		{"booleans", "path: v, equals: true", `{"v":true}`, true},
		{"other booleans", "path: v, equals: true", `{"v":false}`, false},
		{"null equals null", "path: v, equals: null", `{"v":null}`, true},
		{"absent does not equal null", "path: v, equals: null", `{}`, false},
		{"an object equals nothing", "path: v, equals: x", `{"v":{"x":1}}`, false},
		{"absent equals nothing", "path: v, equals: x", `{}`, false},
		{"absent is not equal", "path: v, not_equals: x", `{}`, true},
		{"null is not equal", "path: v, not_equals: x", `{"v":null}`, true},
		{"not equal", "path: v, not_equals: x", `{"v":"y"}`, true},
		{"equal where it should not be", "path: v, not_equals: x", `{"v":"x"}`, false},
		{"one of", "path: v, in: [a, 2, true]", `{"v":2.0}`, true},
		{"none of", "path: v, in: [a, 2, true]", `{"v":"2"}`, false},
		{"absent is none of", "path: v, in: [a, null]", `{}`, false},
		{"exists", "path: v, exists: true", `{"v":false}`, true},
		{"an object exists", "path: v, exists: true", `{"v":{}}`, true},
		{"null does not exist", "path: v, exists: true", `{"v":null}`, false},
		{"absent does not exist", "path: v, exists: true", `{}`, false},
		{"absent as wanted", "path: v, exists: false", `{}`, true},
		{"null is as good as absent", "path: v, exists: false", `{"v":null}`, true},
		{"there although unwanted", "path: v, exists: false", `{"v":0}`, false},
		{"a header", "header: x-github-event, equals: push", `{}`, true},
		{"another header", "header: X-GitHub-Event, equals: pull_request", `{}`, false},
		{"a number in a header is text", "header: X-Attempt, equals: 5", `{}`, true},
		{"and has one spelling", "header: X-Attempt, equals: 5.0", `{}`, false},
		{"a boolean in a header", "header: X-Live, in: [true]", `{}`, true},
		{"a header that exists", "header: X-Empty, exists: true", `{}`, true},
		{"a header that does not", "header: X-None, exists: false", `{}`, true},
		{"an absent header is not equal", "header: X-None, not_equals: a", `{}`, true},
		{"an absent header equals nothing", `header: X-None, equals: ""`, `{}`, false},
		{"greater", "path: v, greater_than: 5", `{"v":5.01}`, true},
		{"not greater", "path: v, greater_than: 5", `{"v":5.0}`, false},
		{"a text that is greater", "path: v, greater_than: 5", `{"v":"5.01"}`, true},
		{"a text that is no number", "path: v, greater_than: 5", `{"v":"6 coins"}`, false},
		{"absent is not less", "path: v, less_than: 5", `{}`, false},
		{"null is not less", "path: v, less_than: 5", `{"v":null}`, false},
		{"an object is not less", "path: v, less_than: 5", `{"v":{}}`, false},
		{"less beyond a float", "path: v, less_than: 9007199254740993", `{"v":9007199254740992}`, true},
		{"at least", "path: v, at_least: '1e2'", `{"v":100}`, true},
		{"at most, negative", "path: v, at_most: -1", `{"v":-1.5}`, true},
		{"above at most", "path: v, at_most: -1", `{"v":-0.5}`, false},
		{"a giant number", "path: v, at_most: 5", `{"v":1e999999999999999999999}`, false},
		{"a tiny number", "path: v, greater_than: 0", `{"v":1e-999999999999999999999}`, true},
		{"a header's number", "header: X-Attempt, at_least: 5.0", `{}`, true},
		{"starts", "path: v, starts_with: order.", `{"v":"order.paid"}`, true},
		{"starts otherwise", "path: v, starts_with: order.", `{"v":"Order.paid"}`, false},
		{"ends", "path: v, ends_with: .paid", `{"v":"order.p\u0061id"}`, true},
		{"contains", "path: v, contains: er.p", `{"v":"order.paid"}`, true},
		{"contains otherwise", "path: v, contains: x", `{"v":"order.paid"}`, false},
		{"a number has no text", "path: v, starts_with: '1'", `{"v":12}`, false},
		{"absent has no text", "path: v, contains: a", `{}`, false},
		{"a header's text", "header: X-Github-Event, starts_with: pu", `{}`, true},
		{"the first of any", "any: [{path: a, equals: 1}, {path: b, equals: 2}]", `{"a":1}`, true},
		{"the last of any", "any: [{path: a, equals: 1}, {header: X-Attempt, equals: 5}]", `{"a":2}`, true},
		{"none of any", "any: [{path: a, equals: 1}, {path: b, equals: 2}]", `{"a":2,"b":1}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// The user is missing: a condition that holds is seen by that failure.
			w := compile(t, oneMapping("currency: coins, operator: add, value: {constant: 1}")+
				"\nwhen: [{"+c.condition+"}]")
			kept := headers("X-Github-Event", "push", "X-Attempt", "5", "X-Live", "true", "X-Empty", "")
			plan, failure := evaluate(w, []byte(c.body), kept)
			if held := failure != nil; held != c.holds || plan.Skip == c.holds {
				t.Errorf("holds = %v (skip %v, %v), want %v", held, plan.Skip, failure, c.holds)
			}
		})
	}
	t.Run("all must hold", func(t *testing.T) {
		t.Parallel()
		definition := oneMapping("currency: coins, operator: add, value: {constant: 1}") +
			"\nwhen: [{path: a, equals: 1}, {path: b, equals: 2}]"
		checkAnswer(t, definition, `{"a":1,"b":3}`, "skip", "")
		checkAnswer(t, definition, `{"a":1,"b":2,"user":"ada"}`, "", "")
	})
}
