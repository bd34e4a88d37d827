package console

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // an image may have no zones of its own
	"unicode"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Pages write amounts, times, durations, counts and reasons with these functions only:
// one thing reads the same on all pages.

// thinSpace is between groups of digits. No language takes it for a decimal point, and
// no line breaks there.
const thinSpace = "\u202f"

const minusSign = "−"

// amountText is an amount, which is exact: 11 886 734.50, −132.
func amountText(amount string) string {
	sign, digits := "", amount
	if rest, ok := strings.CutPrefix(amount, "-"); ok {
		sign, digits = minusSign, rest
	}
	whole, fraction, hasFraction := strings.Cut(digits, ".")
	if strings.Trim(digits, "0123456789.") != "" {
		return amount // no number: it is shown as it is
	}
	text := sign + grouped(whole)
	if hasFraction {
		text += "." + fraction
	}
	return text
}

// grouped puts a thin space between thousands.
func grouped(digits string) string {
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(thinSpace)
		}
		b.WriteRune(d)
	}
	return b.String()
}

// changeText is an amount that is added or subtracted: +25, −132.
func changeText(operator any, amount string) string {
	text := amountText(amount)
	negative := strings.HasPrefix(text, minusSign)
	if fmt.Sprint(operator) == "subtract" != negative {
		return minusSign + strings.TrimPrefix(text, minusSign)
	}
	return "+" + strings.TrimPrefix(text, minusSign)
}

// changeTone is the class of a change: what takes away is a minus, also where a negative
// amount is added.
func changeTone(operator any, amount string) string {
	if strings.HasPrefix(changeText(operator, amount), minusSign) {
		return "minus"
	}
	return "plus"
}

// changesText is what became of balances: Coins +25 → 11 886 759, XP −1 → 0.
func changesText(changes []admin.Change) string {
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = currencyName(c.Currency) + " " + changeText(c.Operator, c.Amount) + " → " + amountText(c.Balance)
	}
	return strings.Join(all, ", ")
}

// numberText is a count: 16 427.
func numberText(n any) string { return amountText(fmt.Sprint(n)) }

// countText is a count with its noun: 1 delivery, 16 427 deliveries.
func countText(n any, one, many string) string {
	if text := fmt.Sprint(n); text != "1" {
		return amountText(text) + " " + many
	}
	return "1 " + one
}

// currencyName is what people call a currency.
func currencyName(code string) string {
	switch code {
	case "xp":
		return "XP"
	case "coins":
		return "Coins"
	}
	return code
}

// durationText is a duration in its two largest units: 850 ms, 1.2 s, 4 min 20 s.
func durationText(d time.Duration) string {
	switch {
	case d < 0:
		return minusSign + durationText(-d)
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second && d%time.Second != 0:
		return strconv.FormatInt(int64(d/time.Second), 10) + "." + strconv.FormatInt(int64(d%time.Second/(100*time.Millisecond)), 10) + " s"
	}
	return admin.DurationText(d, [4]string{" d", " h", " min", " s"})
}

// relativeText is a time as seen from now. app.js keeps it up to date, with the same
// words.
func relativeText(at, now time.Time) string {
	d := now.Sub(at).Round(time.Second)
	ahead := d < 0
	d = d.Abs()
	var text string
	switch {
	case d >= 7*24*time.Hour:
		return at.UTC().Format("2006-01-02 15:04")
	case d >= 24*time.Hour:
		text = fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= time.Hour:
		text = fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute:
		text = fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*time.Second:
		return "now"
	default:
		text = fmt.Sprintf("%d s", d/time.Second)
	}
	if ahead {
		return "in " + text
	}
	return text + " ago"
}

// exactText is a time in UTC. app.js shows it in the zone that the person chose.
func exactText(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// zone is that of the person's times: app.js tells it in a cookie.
func (c *request) zone() *time.Location {
	cookie, err := c.Cookie("zone")
	if err != nil {
		return time.UTC
	}
	name, err := url.QueryUnescape(cookie.Value)
	if err != nil || name == "" || name == "Local" {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// reasonText is a reason in words, its code where there are none.
func reasonText(reason any) string {
	code := fmt.Sprint(reason)
	if r, ok := reason.(*delivery.Reason); ok && r != nil {
		code = string(*r)
	}
	return admin.ReasonWords(delivery.Reason(code))
}

// visible has control characters as escapes: \u202e would turn around the rest of its
// line, and others cannot be seen.
func visible(text string) string {
	if !strings.ContainsFunc(text, isHidden) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isHidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isHidden reports whether a character changes how others are shown, or is shown as
// nothing. Joiners stay: languages and emoji need them.
func isHidden(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case unicode.IsControl(r), r == '\u200b', r == '\ufeff', r == '\u061c', r == '\u2028', r == '\u2029':
		return true
	case r >= '\u200e' && r <= '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2060' && r <= '\u2069':
		return true
	}
	return false
}

// foreign is text of others: it cannot change the direction of what is around it, and
// hides nothing.
func foreign(text any) template.HTML {
	s := fmt.Sprint(text)
	if p, ok := text.(*string); ok {
		if p == nil {
			return ""
		}
		s = *p
	}
	return template.HTML("<bdi>" + template.HTMLEscapeString(visible(s)) + "</bdi>") //nolint:gosec // it is escaped
}

// initial is the first letter of an account's name, for its picture.
func initial(name string) string {
	for _, r := range name {
		return string(unicode.ToUpper(r))
	}
	return ""
}
