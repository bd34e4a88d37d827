package mapping

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/redact"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// amountOf gives a mapping's amount in the smallest unit of its currency.
func amountOf(m *webhook.CompiledMapping, in *scope, c applier.Currency) (int64, *delivery.Failure) {
	number, failure := numberOf(m, in)
	if failure != nil {
		return 0, failure
	}
	if m.Times != nil {
		number = number.Times(*m.Times)
	}
	if m.TimesBy != nil {
		factor, failure := factorOf(m.TimesBy, in)
		if failure != nil {
			return 0, failure
		}
		number = number.Times(factor)
	}
	number, limit := clamped(m, number)
	amount, problem := toUnits(number, c.Scale, m.Round)
	// The sign is checked before decimals are dropped, because rounding does not make a
	// negative value harmless. A value that is not an amount at all comes first.
	if problem != tooManyDecimals && number.Negative && !m.Signed {
		problem = negative
	}
	if problem != none {
		return 0, amountFailure(m, in, c, problem, limit)
	}
	return amount, nil
}

// numberOf is a mapping's value before anything is computed with it.
func numberOf(m *webhook.CompiledMapping, in *scope) (webhook.Number, *delivery.Failure) {
	if isConstant(m) {
		return m.Constant, nil
	}
	v := in.find(&m.CompiledSource)
	instead, failure := standIn(m, in, v, delivery.InvalidAmount)
	switch {
	case failure != nil:
		return webhook.Number{}, failure
	case instead != nil:
		return instead.Number, nil
	default:
		return numberAt(&m.CompiledSource, in, v)
	}
}

// factorOf is a value to multiply with. It is short, so that the product of two
// values costs no more than one by a constant.
func factorOf(s *webhook.CompiledSource, in *scope) (webhook.Number, *delivery.Failure) {
	v := in.find(s)
	if !v.present() {
		return webhook.Number{}, missing(delivery.MissingField, in.spot(s), v)
	}
	factor, failure := numberAt(s, in, v)
	if failure == nil && len(factor.Digits) > webhook.MaxFactorDigits {
		at := in.spot(s)
		failure = fail(delivery.InvalidAmount, at.path, "The factor %s has %d digits; the limit is %d.",
			at.at, len(factor.Digits), webhook.MaxFactorDigits)
	}
	return factor, failure
}

// clamped also names the limit that the number was beyond, if it was.
func clamped(m *webhook.CompiledMapping, number webhook.Number) (within webhook.Number, limit string) {
	switch {
	case m.Min != nil && number.Compare(*m.Min) < 0:
		return *m.Min, "min"
	case m.Max != nil && number.Compare(*m.Max) > 0:
		return *m.Max, "max"
	default:
		return number, ""
	}
}

// numberAt reads a number, or a string that holds one and nothing else.
func numberAt(s *webhook.CompiledSource, in *scope, v value) (webhook.Number, *delivery.Failure) {
	text := ""
	switch v.kind {
	case jsontext.KindNumber:
		text = string(v.raw)
	case jsontext.KindString:
		text = v.text()
	default:
		at := in.spot(s)
		return webhook.Number{}, fail(delivery.InvalidAmount, at.path,
			"The value %s is %s; an amount is a number, or a string that holds one.", at.at, v.kindName())
	}
	number, ok := webhook.ParseNumber(text)
	if !ok {
		at := in.spot(s)
		return webhook.Number{}, fail(delivery.InvalidAmount, at.path,
			"The string %s is not a number as JSON writes it, such as 12, -0.5 or 1.5e2.", at.at)
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

func amountFailure(m *webhook.CompiledMapping, in *scope, c applier.Currency, p problem, limit string) *delivery.Failure {
	path, what := valueInWords(m, in)
	if limit != "" {
		what = strings.TrimSuffix(what, ",") + ", clamped to its " + limit + ","
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

// valueInWords says how a mapping came to a value, which is a number.
func valueInWords(m *webhook.CompiledMapping, in *scope) (path, what string) {
	comma := ""
	if isConstant(m) {
		what = "The constant " + short(m.ConstantText)
	} else {
		at, v := in.spot(&m.CompiledSource), in.find(&m.CompiledSource)
		path, comma = at.path, ","
		instead, _ := standIn(m, in, v, delivery.InvalidAmount)
		switch {
		case instead == nil:
			what = strings.TrimSuffix(fmt.Sprintf("The value %s, %s %s", at.at, v.kindName(), in.digits(&m.CompiledSource, v)), " ")
		case instead == m.Default:
			what = fmt.Sprintf("The value %s, by default %s", at.at, short(instead.Text))
		default:
			what = fmt.Sprintf("The value %s, looked up as %s", at.at, short(instead.Text))
		}
	}
	if m.Times != nil {
		what, comma = what+" times "+short(m.TimesText), ","
	}
	if m.TimesBy != nil {
		what += fmt.Sprintf(" times %s %s", cmp.Or(in.digits(m.TimesBy, in.find(m.TimesBy)), "the value"), in.spot(m.TimesBy).at)
		comma = ","
	}
	return path, what + comma
}

// digits is the text of a number that a payload or a header has. It is empty for an
// encrypted payload.
func (in *scope) digits(s *webhook.CompiledSource, v value) string {
	text := v.scalarText()
	switch {
	case in.sealed && s.Slot != webhook.NoSlot:
		return ""
	case len(text) > maxDigits:
		return short(text)
	default:
		return redact.Value(nameOf(s), text)
	}
}

// maxDigits is how long a number is that is quoted.
const maxDigits = 40

// short names a number by its length where it is long.
func short(number string) string {
	if len(number) > maxDigits {
		return fmt.Sprintf("of %d characters", len(number))
	}
	return number
}
