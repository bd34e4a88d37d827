package mapping_test

import (
	"math"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestImpossible(t *testing.T) {
	t.Parallel()
	gems := applier.Currency{Code: "gems", Minimum: new(int64(10)), Maximum: new(int64(110))}
	wide := applier.Currency{Code: "gems", Minimum: new(int64(math.MinInt64)), Maximum: new(int64(math.MaxInt64))}
	open := applier.Currency{Code: "gems", Minimum: new(int64(0))}
	constant := func(text string) webhook.Value { return webhook.Value{Constant: &text} }
	for name, c := range map[string]struct {
		value    webhook.Value
		currency applier.Currency
		want     string // "" for one that may succeed
	}{
		"all the room there is":   {constant("100"), gems, ""},
		"more than the room":      {constant("101"), gems, "a balance of gems lies between 10 and 110, and this changes it by 101"},
		"less than nothing":       {webhook.Value{Constant: new("-101"), Signed: true}, gems, "changes it by -101"},
		"by its factor":           {webhook.Value{Constant: new("1"), Times: "1e3"}, gems, "changes it by 1000"},
		"clamped":                 {webhook.Value{Constant: new("1000"), Max: "50"}, gems, ""},
		"times what nobody knows": {webhook.Value{Constant: new("1000"), TimesBy: &webhook.Source{Path: "a"}}, gems, ""},
		"no upper limit":          {constant("1e15"), open, ""},
		"beyond 64 bits":          {constant("1e19"), open, "The constant 1e19 is beyond the limit"},
		"the widest limits":       {constant("9223372036854775807"), wide, ""},
		"decimals":                {constant("0.5"), open, "The constant 0.5 has more decimals than gems keeps"},
		"a negative one":          {constant("-1"), open, "The constant -1 is negative"},
		"a path":                  {webhook.Value{Path: "a"}, gems, ""},
	} {
		err := mapping.Impossible(webhook.Mapping{Currency: "gems", Operator: webhook.Add, Value: c.value}, c.currency)
		if got := ""; err != nil {
			got = err.Error()
			if c.want == "" || !strings.Contains(got, c.want) || strings.HasSuffix(got, ".") {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
		} else if c.want != "" {
			t.Errorf("%s: may succeed, want %q", name, c.want)
		}
	}
}
