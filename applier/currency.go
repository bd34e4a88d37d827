package applier

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// MaxScale is the most decimals that a currency may have.
const MaxScale = 6

// BuiltinCurrencies returns those that every community has: whole numbers that
// cannot go below zero.
func BuiltinCurrencies() []Currency {
	return []Currency{{Code: "xp", Minimum: new(int64)}, {Code: "coins", Minimum: new(int64)}}
}

// BuiltinCurrency returns one of them.
func BuiltinCurrency(code string) (Currency, bool) {
	for _, c := range BuiltinCurrencies() {
		if c.Code == code {
			return c, true
		}
	}
	return Currency{}, false
}

// Parse reads an amount as people write it, exactly: with scale 2, "12.50" and
// "12.5" are 1250.
func (c Currency) Parse(text string) (int64, error) {
	number, ok := webhook.ParseNumber(text)
	if !ok {
		return 0, fmt.Errorf("%q is not a number such as 12, -0.5 or 1.5e2", clip(text))
	}
	exp := number.Exp + int64(c.Scale)
	switch {
	case number.IsZero():
		return 0, nil
	case exp < 0:
		return 0, fmt.Errorf("%s has more decimals than %s keeps, which is %d", clip(text), c.Code, c.Scale)
	case exp+int64(len(number.Digits)) > 19:
		return 0, c.outOfRange(text)
	}
	// Amounts lie between ±MaxInt64: each can be negated.
	units, err := strconv.ParseInt(number.Digits+strings.Repeat("0", int(exp)), 10, 64)
	if err != nil {
		return 0, c.outOfRange(text)
	}
	if number.Negative {
		units = -units
	}
	return units, nil
}

func (c Currency) outOfRange(text string) error {
	return fmt.Errorf("%s is beyond the largest amount of %s, %s", clip(text), c.Code, c.Format(math.MaxInt64))
}

func clip(text string) string {
	const limit = 60
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}

// Format writes an amount in the smallest unit as people write it: 1250 with
// scale 2 is "12.50".
func (c Currency) Format(amount int64) string {
	return FormatText(strconv.FormatInt(amount, 10), c.Scale)
}

// FormatText is Format of a whole number as text, which may be beyond 64 bits.
func FormatText(amount string, scale int) string {
	if scale == 0 {
		return amount
	}
	digits, negative := strings.CutPrefix(amount, "-")
	sign := ""
	if negative {
		sign = "-"
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - scale
	return sign + digits[:point] + "." + digits[point:]
}
