package redact

import (
	"slices"
	"strings"
	"unicode"
)

// maxName bounds the names that are compared: a longer one names no secret.
const maxName = 128

// Names are compared as their words run together, in lower case: "Card-Number",
// "card_number" and "cardNumber" are one.
var (
	// within: a name with one of these anywhere says secret.
	within = []string{"password", "passwd", "passphrase"}
	// endings: what comes after may be about the secret, as in "token_type".
	endings = []string{
		"secret", "secrets", "token", "passcode", "pwd", "apikey", "apikeys", "credential", "credentials", "cookie", "cookies",
		"privatekey", "accesskey", "secretkey", "signingkey", "encryptionkey", "masterkey", "aeskey", "hmackey", "sharedkey",
		"cardnumber", "ccnumber", "cardnum", "ccnum", "cardno", "accountnumber", "securitycode", "sessionid", "sessionkey", "sessid",
	}
	// whole: "incremental_authorization" is something else.
	whole = []string{
		"authorization", "proxyauthorization", "xauthorization", "httpauthorization",
		"pass", "userpass", "dbpass", "adminpass", "smtppass", "loginpass", "pan", // a game has a "battle_pass"
	}
	// last words: short enough to end other words, as "pin" does "spin".
	lastWords = []string{"pin", "cvc", "cvv", "cvv2", "cvn", "csc", "otp", "totp", "jwt", "bearer", "iban", "ssn", "sig"}
	// scalars say secret of a text or number. An object of such a name has members whose
	// names tell, as those of "card": {"brand": "visa", "number": "4…"}.
	scalars = []string{"auth", "session", "signature", "hmac", "card", "creditcard", "debitcard"}
)

// saysSecretScalar is saysSecret, plus the names that mark only a text or a number as
// secret.
func saysSecretScalar(name string) bool {
	if saysSecret(name) {
		return true
	}
	if len(name) > maxName {
		return false
	}
	words := words(name)
	return len(words) > 0 && (slices.Contains(scalars, words[len(words)-1]) || slices.Contains(scalars, strings.Join(words, "")))
}

// saysSecret reports whether the name of a member or header says that its value
// is secret.
func saysSecret(name string) bool {
	if len(name) > maxName {
		return false
	}
	words := words(name)
	if len(words) == 0 {
		return false
	}
	folded := strings.Join(words, "")
	return slices.Contains(whole, folded) || slices.Contains(lastWords, words[len(words)-1]) ||
		slices.ContainsFunc(within, func(s string) bool { return strings.Contains(folded, s) }) ||
		slices.ContainsFunc(endings, func(s string) bool { return strings.HasSuffix(folded, s) })
}

// words splits a name at what is no letter or digit, and where camelCase begins
// a word. They are in lower case.
func words(name string) (all []string) {
	runes := []rune(name)
	start := 0
	flush := func(end int) {
		if end > start {
			all = append(all, strings.ToLower(string(runes[start:end])))
		}
	}
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush(i)
			start = i + 1
		case i > start && unicode.IsUpper(r) && startsWord(runes, i):
			flush(i)
			start = i
		}
	}
	flush(len(runes))
	return all
}

// startsWord reports whether an upper-case letter begins a word: after another
// kind of letter, and as the last of several, as the K of "APIKey".
func startsWord(runes []rune, i int) bool {
	return !unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])
}
