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
