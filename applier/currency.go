package applier

import (
	"strconv"
	"strings"
)

// Currencies finds a community's currency by its code.
type Currencies func(community, code string) (Currency, bool)

// BuiltinCurrencies are those that every community has: whole numbers that
// cannot go below zero.
func BuiltinCurrencies(_, code string) (Currency, bool) {
	switch code {
	case "xp", "coins":
		var zero int64
		return Currency{Code: code, Minimum: &zero}, true
	}
	return Currency{}, false
}

// Format writes an amount in the smallest unit as people write it: 1250 with
// scale 2 is "12.50".
func (c Currency) Format(amount int64) string {
	if c.Scale == 0 {
		return strconv.FormatInt(amount, 10)
	}
	sign, digits := "", strconv.FormatInt(amount, 10)
	if amount < 0 {
		sign, digits = "-", digits[1:]
	}
	if missing := c.Scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - c.Scale
	return sign + digits[:point] + "." + digits[point:]
}
