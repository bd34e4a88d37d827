package mapping

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Impossible returns an error for a mapping with which no delivery can succeed: its
// constant is not an amount of its currency, or exceeds the range between the
// limits of a balance.
func Impossible(m webhook.Mapping, c applier.Currency) error {
	v := m.Value
	if m.Field != "" || v.Constant == nil || v.TimesBy != nil {
		return nil
	}
	compiled := webhook.CompiledMapping{
		CompiledSource: webhook.CompiledSource{Slot: webhook.NoSlot}, ConstantText: *v.Constant,
		TimesText: v.Times, Times: numberOr(v.Times), Min: numberOr(v.Min), Max: numberOr(v.Max), Round: v.Round, Signed: v.Signed,
	}
	if n := numberOr(*v.Constant); n != nil {
		compiled.Constant = *n
	}
	amount, failure := amountOf(&compiled, &scope{}, c)
	if failure != nil {
		return fmt.Errorf("no delivery can succeed: %s", strings.TrimSuffix(failure.Detail, "."))
	}
	if c.Minimum == nil || c.Maximum == nil {
		return nil
	}
	room := new(big.Int).Sub(big.NewInt(*c.Maximum), big.NewInt(*c.Minimum))
	if new(big.Int).Abs(big.NewInt(amount)).Cmp(room) > 0 {
		return fmt.Errorf("no delivery can succeed: a balance of %s lies between %s and %s, and this changes it by %s",
			c.Code, c.Format(*c.Minimum), c.Format(*c.Maximum), c.Format(amount))
	}
	return nil
}

func numberOr(text string) *webhook.Number {
	if n, ok := webhook.ParseNumber(text); ok {
		return &n
	}
	return nil
}
