package sample

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// Names of values, without case and separators. The end of a name tells what a
// value is, as in customer_email and totalPoints.
var (
	emailNames    = []string{"email", "emailaddress", "mail"}
	usernameNames = []string{"username", "login", "user", "nickname", "nick", "handle", "screenname", "gamertag", "player", "playername", "member"}
	amountWords   = []string{
		"amount", "total", "subtotal", "coin", "coins", "xp", "point", "points", "score", "price", "cost",
		"quantity", "qty", "credit", "credits", "gold", "gem", "gems", "token", "tokens", "reward", "bonus",
		"sum", "paid", "value", "experience", "stars", "karma",
	}
	// neitherWords name numbers that nobody wants to pay out.
	neitherWords = []string{
		"id", "ids", "at", "on", "created", "updated", "timestamp", "time", "date", "port", "version", "number",
		"start", "end", "until", "expires", "exp", "iat", "year", "month", "day", "status", "code", "zip", "phone", "last4",
	}
)

// emailPattern is what people take for an address at a glance.
var emailPattern = regexp.MustCompile(`^[^\s@<>/:]+@[^\s@<>/:]+\.[^\s@<>/:.]+$`)

// guess says what a value looks fit for, how much so, and why.
func guess(name string, value webhook.Scalar) (use Use, score int, why string) {
	switch value.Kind() {
	case webhook.StringScalar:
		return guessString(name, value.Text())
	case webhook.NumberScalar:
		return guessNumber(name, "a number")
	default:
		return "", 0, ""
	}
}

func guessString(name, text string) (use Use, score int, why string) {
	flat := flatten(name)
	named := func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(flat, n) })
	}
	if _, ok := webhook.ParseNumber(text); ok && hasWord(name, amountWords) {
		use, score, _ = guessNumber(name, "")
		return use, score - 1, "a string that holds a number, and its name"
	}
	switch {
	case len(text) <= 320 && emailPattern.MatchString(text):
		if named(emailNames) {
			return Email, 4, "an e-mail address, and its name"
		}
		return Email, 3, "an e-mail address"
	case strings.TrimSpace(text) == "" || strings.ContainsAny(text, " \t\n/") || len(text) > 100:
		return "", 0, ""
	case named(emailNames) && strings.Contains(text, "@"):
		return Email, 2, "its name, and an @"
	case named(usernameNames):
		return Username, 2, "its name"
	}
	return "", 0, ""
}

func guessNumber(name, what string) (use Use, score int, why string) {
	switch {
	case hasWord(name, neitherWords):
		return "", 0, ""
	case hasWord(name, amountWords):
		return Amount, 4, strings.TrimSpace(what + ", and its name")
	default:
		return Amount, 1, what
	}
}

func hasWord(name string, words []string) bool {
	return slices.ContainsFunc(split(name), func(w string) bool { return slices.Contains(words, w) })
}

// split takes a name apart at separators and where lower case turns into upper.
func split(name string) []string {
	var words []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			words = append(words, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	lower := false
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) || unicode.IsUpper(r) && lower {
			end()
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			word.WriteRune(r)
		}
		lower = unicode.IsLower(r)
	}
	end()
	return words
}

func flatten(name string) string { return strings.Join(split(name), "") }
