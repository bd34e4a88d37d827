package mapping

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// amountOf gives a mapping's amount in the smallest unit of its currency.
func amountOf(m *webhook.CompiledMapping, values []value, c applier.Currency) (int64, *delivery.Failure) {
	number := m.Constant
	if m.Slot != webhook.NoSlot {
		var failure *delivery.Failure
		if number, failure = numberAt(m.Path.Text(), values[m.Slot]); failure != nil {
			return 0, failure
		}
	}
	if m.Times != nil {
		number = number.Times(*m.Times)
	}
	amount, problem := toUnits(number, c.Scale, m.Round)
	// The sign is checked before decimals are dropped, because rounding does not make a
	// negative value harmless. A value that is not an amount at all comes first.
	if problem != tooManyDecimals && number.Negative && !m.Signed {
		problem = negative
	}
	if problem != none {
		return 0, amountFailure(m, values, c, problem)
	}
	return amount, nil
}

// numberAt reads a number, or a string that holds one and nothing else.
func numberAt(path string, v value) (webhook.Number, *delivery.Failure) {
	text := ""
	switch {
	case !v.present():
		return webhook.Number{}, missing(delivery.MissingField, path, v)
	case v.kind == jsontext.KindNumber:
		text = string(v.raw)
	case v.kind == jsontext.KindString:
		text = v.text()
	default:
		return webhook.Number{}, fail(delivery.InvalidAmount, path,
			"The value at %s is %s; an amount is a number, or a string that holds one.", path, v.kindName())
	}
	number, ok := webhook.ParseNumber(text)
	if !ok {
		return webhook.Number{}, fail(delivery.InvalidAmount, path,
			"The string at %s is not a number as JSON writes it, such as 12, -0.5 or 1.5e2.", path)
	}
	return number, nil
}

// problem is why a number is not an amount of a currency.
type problem uint8

const (
	none problem = iota
	tooManyDecimals
	negative
	outOfRange
)

// toUnits returns number × 10^scale. Its cost depends on the length of the digits, not on
// the exponent.
//
// Amounts lie between ±MaxInt64: each can be negated.
func toUnits(number webhook.Number, scale int, round webhook.Round) (int64, problem) {
	if number.IsZero() {
		return 0, none
	}
	whole, dropped := number.Digits, ""
	exp := number.Exp + int64(scale)
	// places is the number of digits before the decimal point, in the smallest
	// unit; it is below zero where zeros follow the point.
	places := int64(len(number.Digits)) + exp
	if exp < 0 {
		if round == "" {
			return 0, tooManyDecimals
		}
		cut := min(max(places, 0), int64(len(number.Digits)))
		whole, dropped = number.Digits[:cut], number.Digits[cut:]
	}
	if places > 19 {
		return 0, outOfRange
	}
	if exp > 0 {
		whole += strings.Repeat("0", int(exp))
	}
	units, err := strconv.ParseUint("0"+whole, 10, 64)
	if err != nil {
		return 0, outOfRange
	}
	if dropped != "" && roundsUp(round, units, dropped, places) {
		units++
	}
	if units > math.MaxInt64 {
		return 0, outOfRange
	}
	if number.Negative {
		return -int64(units), none
	}
	return int64(units), none
}

// roundsUp decides about what is dropped, which is never zero: its last digit is
// significant.
func roundsUp(round webhook.Round, units uint64, dropped string, places int64) bool {
	switch round {
	case webhook.RoundUp:
		return true
	case webhook.RoundHalfEven:
		if places < 0 || dropped[0] < '5' {
			return false // below a half: dropped starts after zeros, or below 5
		}
		exactlyHalf := dropped == "5"
		return !exactlyHalf || units%2 == 1
	default:
		return false
	}
}

func amountFailure(m *webhook.CompiledMapping, values []value, c applier.Currency, p problem) *delivery.Failure {
	path, what := m.Path.Text(), ""
	if m.Slot == webhook.NoSlot {
		path, what = "", "The constant "+short(m.ConstantText)
	} else {
		v := values[m.Slot]
		text := string(v.raw)
		if v.kind == jsontext.KindString {
			text = v.text()
		}
		what = fmt.Sprintf("The value at %s, %s %s,", path, v.kindName(), short(text))
	}
	if m.Times != nil {
		what = strings.TrimSuffix(what, ",") + " times " + short(m.TimesText) + ","
	}
	switch p {
	case tooManyDecimals:
		return fail(delivery.InvalidAmount, path,
			"%s has more decimals than %s keeps, which is %d, and the mapping does not round.", what, c.Code, c.Scale)
	case negative:
		return fail(delivery.NegativeAmount, path, "%s is negative, and the mapping is not signed.", what)
	default:
		return fail(delivery.AmountOutOfRange, path,
			"%s is beyond the limit of %d in the smallest unit of %s.", what, int64(math.MaxInt64), c.Code)
	}
}

// short names a number by its length where it is long.
func short(number string) string {
	if len(number) > 40 {
		return fmt.Sprintf("of %d characters", len(number))
	}
	return number
}
