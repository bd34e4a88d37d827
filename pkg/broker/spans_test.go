package broker

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// someSpans draws sequences below 20, as a set and as spans.
func someSpans(t *rapid.T, name string) (set [20]bool, spans Spans) {
	var sequences []uint64
	for i := range set {
		if set[i] = rapid.Bool().Draw(t, name); set[i] {
			sequences = append(sequences, uint64(i))
		}
	}
	return set, NewSpans(sequences...)
}

func TestSpansAreSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		inA, a := someSpans(t, "a")
		inB, b := someSpans(t, "b")
		for name, tc := range map[string]struct {
			got  Spans
			want func(a, b bool) bool
		}{
			"and":     {a.and(b), func(a, b bool) bool { return a && b }},
			"or":      {a.or(b), func(a, b bool) bool { return a || b }},
			"without": {a.without(b), func(a, b bool) bool { return a && !b }},
		} {
			var want []uint64
			for i := range inA {
				in := tc.want(inA[i], inB[i])
				if in {
					want = append(want, uint64(i))
				}
				if tc.got.has(uint64(i)) != in {
					t.Errorf("%v %s %v = %v, which is wrong about %d", a, name, b, tc.got, i)
				}
			}
			if diff := cmp.Diff(NewSpans(want...), tc.got); diff != "" {
				t.Errorf("%v %s %v (-want +got):\n%s", a, name, b, diff)
			}
			if got := tc.got.len(); got != uint64(len(want)) {
				t.Errorf("%v has %d sequences, want %d", tc.got, got, len(want))
			}
		}
	})
}
