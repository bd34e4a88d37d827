package webhook

import (
	"cmp"
	"strconv"
	"strings"
)

// Number is a JSON number, exactly. Its value is Digits × 10^Exp, negated when
// Negative. Zero has no digits, no exponent and no sign.
//
// It stays as small as the text it was read from: 1e999999999 is one digit.
type Number struct {
	Negative bool
	// Digits has neither leading nor trailing zeros, so that equal numbers have
	// equal fields.
	Digits string
	// Exp is cut to ±exponentLimit, which no amount comes near.
	Exp int64
}

// exponentLimit leaves room for sums of exponents and lengths in an int64.
const exponentLimit = 1_000_000_000_000_000_000

// ParseNumber reads a text that is a number in the grammar of RFC 8259, section
// 6, as a whole: no spaces, no plus sign, no leading zeros.
func ParseNumber(text string) (Number, bool) {
	rest, negative := strings.CutPrefix(text, "-")
	whole, rest := leadingDigits(rest)
	if whole == "" || len(whole) > 1 && whole[0] == '0' {
		return Number{}, false
	}
	fraction := ""
	if strings.HasPrefix(rest, ".") {
		if fraction, rest = leadingDigits(rest[1:]); fraction == "" {
			return Number{}, false
		}
	}
	exp, ok := parseExponent(rest)
	if !ok {
		return Number{}, false
	}
	exp -= int64(len(fraction))
	digits := whole
	if fraction != "" {
		digits += fraction
	}
	return newNumber(negative, digits, exp), true
}

func leadingDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

// parseExponent reads what follows the digits of a number: nothing, or an e
// with an integer, cut to the limit.
func parseExponent(s string) (int64, bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	digits, rest := leadingDigits(s)
	if digits == "" || rest != "" {
		return 0, false
	}
	exp := int64(exponentLimit)
	if digits = strings.TrimLeft(digits, "0"); len(digits) <= 18 {
		exp, _ = strconv.ParseInt("0"+digits, 10, 64)
	}
	if negative {
		exp = -exp
	}
	return exp, true
}

// newNumber brings digits × 10^exp into the one form of its value.
func newNumber(negative bool, digits string, exp int64) Number {
	digits = strings.TrimLeft(digits, "0")
	significant := strings.TrimRight(digits, "0")
	if significant == "" {
		return Number{}
	}
	exp += int64(len(digits) - len(significant))
	exp = min(max(exp, -exponentLimit), exponentLimit)
	return Number{Negative: negative, Digits: significant, Exp: exp}
}

// IsZero reports whether n is 0; there is no negative zero.
func (n Number) IsZero() bool { return n.Digits == "" }

// exact reports whether Exp was not cut.
func (n Number) exact() bool { return -exponentLimit < n.Exp && n.Exp < exponentLimit }

// Times is the exact product. Its cost grows with the product of the lengths, so
// one of the two must be short; a mapping's factor is.
func (n Number) Times(m Number) Number {
	return newNumber(n.Negative != m.Negative, multiply(n.Digits, m.Digits), n.Exp+m.Exp)
}

const (
	limbDigits = 9
	limbBase   = 1_000_000_000
)

// multiply multiplies decimal digits. math/big would first convert them to
// binary, in a time that grows with the square of their number; a payload may
// hold half a million.
func multiply(a, b string) string {
	if len(a) <= limbDigits && len(b) <= limbDigits {
		return strconv.FormatUint(toLimb(a)*toLimb(b), 10)
	}
	x, y := toLimbs(a), toLimbs(b)
	product := make([]uint64, len(x)+len(y))
	for i, xi := range x {
		carry := uint64(0)
		for j, yj := range y {
			// At most (base-1)² + 2(base-1), which a uint64 holds.
			sum := product[i+j] + xi*yj + carry
			product[i+j], carry = sum%limbBase, sum/limbBase
		}
		product[i+len(y)] = carry
	}
	return fromLimbs(product)
}

// toLimbs gives groups of nine digits, the least significant first.
func toLimbs(digits string) []uint64 {
	limbs := make([]uint64, 0, len(digits)/limbDigits+1)
	for end := len(digits); end > 0; end -= limbDigits {
		limbs = append(limbs, toLimb(digits[max(end-limbDigits, 0):end]))
	}
	return limbs
}

func toLimb(digits string) uint64 {
	limb := uint64(0)
	for i := range len(digits) {
		limb = limb*10 + uint64(digits[i]-'0')
	}
	return limb
}

func fromLimbs(limbs []uint64) string {
	digits := make([]byte, len(limbs)*limbDigits)
	for i, limb := range limbs {
		end := len(digits) - i*limbDigits
		for place := end - 1; place >= end-limbDigits; place-- {
			digits[place] = byte('0' + limb%10)
			limb /= 10
		}
	}
	return string(digits)
}

// Compare tells which number is greater: -1, 0 or 1 as n is less than m, equal or
// greater. Exponents that were cut are taken as they are.
func (n Number) Compare(m Number) int {
	if n.sign() != m.sign() {
		return cmp.Compare(n.sign(), m.sign())
	}
	if n.Negative {
		n, m = m, n
	}
	// The power of ten of the first digit decides; zeros behind the digits do not.
	return cmp.Or(
		cmp.Compare(n.Exp+int64(len(n.Digits)), m.Exp+int64(len(m.Digits))),
		cmp.Compare(n.Digits, m.Digits),
	)
}

func (n Number) sign() int {
	switch {
	case n.IsZero():
		return 0
	case n.Negative:
		return -1
	default:
		return 1
	}
}
