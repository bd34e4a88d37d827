package webhook_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]webhook.Number{
		"0": {}, "-0": {}, "0.00e99": {}, "-0e-99999999999999999999": {},
		"1":                      {Digits: "1"},
		"-12.50":                 {Negative: true, Digits: "125", Exp: -1},
		"1200":                   {Digits: "12", Exp: 2},
		"0.0012":                 {Digits: "12", Exp: -4},
		"1.5e2":                  {Digits: "15", Exp: 1},
		"1E+0002":                {Digits: "1", Exp: 2},
		"10e-999999999":          {Digits: "1", Exp: -999999998},
		"1e99999999999999999999": {Digits: "1", Exp: 1e18},
	} {
		got, ok := webhook.ParseNumber(text)
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%s is a number: %v (-want +got):\n%s", text, ok, diff)
		}
	}
	for _, text := range []string{
		"", "-", "+1", "01", "-01", "00", ".5", "5.", "1e", "1e+", "1e1.0", "1.e1", " 1", "1 ", "1\n",
		"1_000", "0x10", "1,5", "NaN", "Infinity", "--1", "1-", "1e5e5", "٣", "1\x00",
	} {
		if n, ok := webhook.ParseNumber(text); ok {
			t.Errorf("%q is taken for the number %+v", text, n)
		}
	}
}

// Exactly the valid JSON documents that start like a number and have no blanks
// are numbers.
func TestParseNumberAgreesWithJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("0012-+.eE ")), 1, 8, -1).Draw(t, "text")
		want := json.Valid([]byte(text)) && !strings.Contains(text, " ")
		if _, got := webhook.ParseNumber(text); got != want {
			t.Fatalf("%q is a number: %v, want %v", text, got, want)
		}
	})
}

func rational(t *rapid.T, n webhook.Number) *big.Rat {
	r, ok := new(big.Rat).SetString(fmt.Sprintf("%se%d", n.Digits+"0", n.Exp-1))
	if !ok {
		t.Fatalf("%+v is no rational number", n)
	}
	if n.Negative {
		r.Neg(r)
	}
	return r
}

func TestNumbersAreExact(t *testing.T) {
	t.Parallel()
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,60})(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		m, _ := webhook.ParseNumber(a)
		n, _ := webhook.ParseNumber(b)
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		if rational(t, m).Cmp(x) != 0 {
			t.Fatalf("%s is read as %+v", a, m)
		}
		if (m == n) != (x.Cmp(y) == 0) {
			t.Fatalf("%s and %s are equal: %v", a, b, m == n)
		}
		product := m.Times(n)
		if want := x.Mul(x, y); rational(t, product).Cmp(want) != 0 {
			t.Fatalf("%s times %s is %+v, want %s", a, b, product, want)
		}
	})
}

func TestLongProductsAreExact(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("9", 100_000), strings.Repeat("9", 40)
	m, _ := webhook.ParseNumber(a)
	n, _ := webhook.ParseNumber(b)
	// (10^p - 1)(10^q - 1) = 10^(p+q) - 10^p - 10^q + 1
	want := strings.Repeat("9", 39) + "8" + strings.Repeat("9", 100_000-40) + strings.Repeat("0", 39) + "1"
	if got := m.Times(n); got.Digits != want || got.Exp != 0 {
		t.Errorf("the product of %d and 40 nines is wrong", len(a))
	}
}

func TestScalarEqual(t *testing.T) {
	t.Parallel()
	number := func(text string) webhook.Scalar {
		s, err := webhook.NumberText(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		a, b webhook.Scalar
		want bool
	}{
		{number("1"), number("1.0"), true},
		{number("1"), number("1e0"), true},
		{number("-0"), number("0.00"), true},
		{number("1e999999999"), number("10e999999998"), true},
		{number("1e999999999"), number("1e999999998"), false},
		{number("1e99999999999999999999"), number("1e99999999999999999999"), true},
		{number("1e99999999999999999999"), number("1e99999999999999999998"), false},
		{number("9007199254740993"), number("9007199254740992"), false},
		{number("1"), number("-1"), false},
		{number("1"), webhook.String("1"), false},
		{webhook.String("a"), webhook.String("a"), true},
		{webhook.String("a"), webhook.String("A"), false},
		{webhook.String("true"), webhook.Bool(true), false},
		{webhook.Bool(true), webhook.Bool(true), true},
		{webhook.Bool(true), webhook.Bool(false), false},
		{webhook.Null(), webhook.Null(), true},
		{webhook.Null(), webhook.String("null"), false},
		{webhook.Null(), webhook.Scalar{}, false},
	} {
		if got := c.a.Equal(c.b); got != c.want || c.b.Equal(c.a) != c.want {
			t.Errorf("%q equals %q: %v, want %v", c.a.Text(), c.b.Text(), got, c.want)
		}
	}
}
