package broker

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheLastMessageBeforeAMoment(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, last uint64
		isBefore    func(uint64) bool
		want        uint64
	}{
		"none":               {5, 4, func(uint64) bool { return true }, 0},
		"nothing is old":     {5, 900, func(uint64) bool { return false }, 0},
		"all are old":        {5, 900, func(uint64) bool { return true }, 900},
		"a clock was ahead":  {1, 900, func(n uint64) bool { return n < 100 || n >= 300 }, 99},
		"a clock was behind": {1, 900, func(n uint64) bool { return n >= 300 && n < 500 }, 0},
	} {
		got, err := lastBefore(test.first, test.last, func(n uint64) (bool, error) { return test.isBefore(n), nil })
		if err != nil || got != test.want {
			t.Errorf("%s: %d, %v, want %d", name, got, err, test.want)
		}
	}
}

func TestTheLastMessageBeforeAMomentInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, 1<<40).Draw(t, "first")
		last := first + rapid.Uint64Range(0, 1<<30).Draw(t, "more")
		want := rapid.Uint64Range(first-1, last).Draw(t, "want")
		asked := 0
		got, err := lastBefore(first, last, func(n uint64) (bool, error) { asked++; return n <= want, nil })
		if want == first-1 {
			want = 0
		}
		if err != nil || got != want || asked > 64 {
			t.Errorf("%d, %v after %d questions, want %d", got, err, asked, want)
		}
	})
}
