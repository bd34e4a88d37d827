package redact

import (
	"bytes"
	"encoding/base64"
	"regexp"
)

// shape is what a kind of key looks like. Its first group is replaced, or all
// of it if there is none.
type shape struct {
	// hint is in every text that has one, in lower case.
	hint    string
	pattern *regexp.Regexp
	// is looks closer at what the pattern found; nil is enough.
	is func(text, found []byte) bool
}

var shapes = []shape{
	{"chk_", regexp.MustCompile(`chk_[A-Za-z0-9_-]{43}`), nil}, // Coinhook's own, of senders
	{"cht_", regexp.MustCompile(`cht_[A-Za-z0-9_-]{43}`), nil}, // and of readers
	{"bearer", regexp.MustCompile(`(?i)\bbearer\s+([a-z0-9._~+/=-]+)`), isBearer},
	{"basic", regexp.MustCompile(`(?i)\bbasic\s+([a-z0-9+/_-]+=*)`), isBasic},
	{"_live_", regexp.MustCompile(`\b[srp]k_live_[A-Za-z0-9]{8,}`), nil}, // Stripe
	{"_test_", regexp.MustCompile(`\b[sr]k_test_[A-Za-z0-9]{8,}`), nil},
	{"whsec_", regexp.MustCompile(`\bwhsec_[A-Za-z0-9+/=]{16,}`), nil},
	{"gh", regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{16,}`), nil}, // GitHub
	{"github_pat_", regexp.MustCompile(`\bgithub_pat_[A-Za-z0-9_]{16,}`), nil},
	{"glpat-", regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{16,}`), nil},     // GitLab
	{"akia", regexp.MustCompile(`\bAKIA[A-Z0-9]{16}\b`), nil},             // AWS
	{"asia", regexp.MustCompile(`\bASIA[A-Z0-9]{16}\b`), nil},             // AWS, for a time
	{"xox", regexp.MustCompile(`\bxox[a-z]-[A-Za-z0-9-]{10,}`), nil},      // Slack
	{"aiza", regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}`), nil},          // Google
	{"npm_", regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}`), nil},            // npm
	{"eyj", regexp.MustCompile(`\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`), nil}, // JWT
	{"://", regexp.MustCompile(`://[^\s/?#:@"']*:([^\s/?#@"']+)@`), nil},  // a password in a URL
	{"private key-----", regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`), nil},
}

// keySpans finds what looks like a key.
func keySpans(text []byte) (spans []span) {
	lower := bytes.ToLower(text)
	for _, s := range shapes {
		if !bytes.Contains(lower, []byte(s.hint)) {
			continue
		}
		for _, at := range s.pattern.FindAllSubmatchIndex(text, -1) {
			from, to := at[0], at[1]
			if len(at) > 2 {
				from, to = at[2], at[3]
			}
			if found := text[from:to]; !isMarked(found) && (s.is == nil || s.is(text, found)) {
				spans = append(spans, span{from, to, Mark})
			}
		}
	}
	return spans
}

// isBearer tells a token from prose about a bearer: it is all there is, or has a
// digit, or is longer than words are.
func isBearer(text, found []byte) bool {
	const longestWord = 20
	alone := len(bytes.Fields(text)) == 2
	return alone || len(found) > longestWord || bytes.ContainsAny(found, "0123456789")
}

// isBasic tells credentials from prose such as "basic plan": they are a name and
// a password in base64.
func isBasic(_, found []byte) bool {
	found = bytes.TrimRight(found, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		plain := make([]byte, encoding.DecodedLen(len(found)))
		if n, err := encoding.Decode(plain, found); err == nil && bytes.ContainsRune(plain[:n], ':') {
			return true
		}
	}
	return false
}
