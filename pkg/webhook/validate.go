package webhook

import (
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	defaultCommunity = "default"

	maxName       = 100
	maxMappings   = 50
	maxConditions = 50
	maxAlternates = 100 // of one condition's in

	// MaxPathLength bounds a path, in characters.
	MaxPathLength = 1000
	// MaxFieldLength bounds a custom field's value, in characters.
	MaxFieldLength = 4096

	maxComposite = 10    // places of one idempotency key
	maxLookup    = 1_000 // entries of one lookup
	maxLookupKey = 200   // characters of an entry's key
	maxAffix     = 200   // characters of starts_with, ends_with and contains
	// maxEaches bounds what one delivery may change: the database numbers its changes
	// by a smallint.
	maxEaches = 20

	// MaxElements bounds the array of an each.
	MaxElements = 1_000

	// MaxFactorDigits bounds a factor, in digits. It is multiplied with every value;
	// within this bound that costs next to nothing.
	MaxFactorDigits = 40
	maxExponent     = 20 // of a number in a definition
)

const notNumber = "%q is not a JSON number; write it as in 12, -0.5 or 1.5e2"

var (
	communityPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	headerPattern    = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$")

	// unkeptHeaders carry secrets, so that no delivery has them.
	unkeptHeaders = []string{"X-Api-Key", "Authorization", "Cookie"}
)

// IsCommunity reports whether a community may have this name.
func IsCommunity(name string) bool { return communityPattern.MatchString(name) }

// Validate checks what a definition says, as Parse does and as a change of state
// must. The error is Errors.
func (def Definition) Validate(opts ...Option) error {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	var r report
	check(&r, def, o)
	return r.err()
}

func check(r *report, def Definition, o options) {
	if problem := nameProblem(def.Name); problem != "" {
		r.add("name", "%s", problem)
	}
	if !communityPattern.MatchString(def.Community) {
		r.add("community", "want 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, not %q", clip(def.Community))
	}
	oneOf(r, "state", def.State, Draft, Active, Paused, Disabled)
	checkAuth(r, "auth", def.Auth)
	r.unkept = def.Auth.secretHeaders()
	oneOf(r, "encryption", def.Encryption, NoEncryption, CBC, GCM)
	if def.State.Accepts() && def.User == nil {
		r.add("user", "%s webhook needs a user; add one, or make the state draft", withArticle(def.State))
	}
	if def.State.Accepts() && len(def.Mappings) == 0 {
		r.add("mappings", "%s webhook needs at least one mapping; add one, or make the state draft", withArticle(def.State))
	}
	if def.Receive != nil {
		checkReceive(r, "receive", def)
		checkMethods(r, def)
	}
	checkEncryptedQuery(r, def)
	checkCover(r, def)
	if def.User != nil {
		checkUser(r, "user", *def.User)
	}
	if def.Idempotency != nil {
		checkIdempotency(r, "idempotency", *def.Idempotency)
	}
	if def.LateUsers != nil {
		checkLateUsers(r, "late_users", *def.LateUsers)
	}
	checkWhen(r, "when", def.When)
	atMost(r, "mappings", len(def.Mappings), maxMappings)
	for i, m := range def.Mappings {
		before := len(r.errors)
		checkMapping(r, itemField("mappings", i), m, o.currencies, o.fields)
		if o.possible == nil || !def.State.Accepts() || len(r.errors) > before {
			continue
		}
		if err := o.possible(m); err != nil {
			r.add(itemField("mappings", i)+".value.constant", "%v; make the state draft to save it all the same", err)
		}
	}
	checkFieldsOnce(r, def.Mappings)
	checkEaches(r, def.Mappings)
}

// kindPattern is that of an external id's kind: a column of a file may be named so.
var kindPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// CheckKind says what is wrong with the kind of an external id.
func CheckKind(kind string) error {
	if !kindPattern.MatchString(kind) {
		return fmt.Errorf("the kind of an external id is 1 to 32 of a-z, 0-9, _ and -, such as steam, not %q", clip(kind))
	}
	return nil
}

func checkUserKey(r *report, user UserRef) {
	oneOf(r, "user.by", user.By, ByEmail, ByUsername, ByID, ByExternal)
	switch {
	case user.By == ByExternal && user.Kind == "":
		r.add("user.kind", "by: external needs the kind of the id, such as kind: steam")
	case user.By == ByExternal:
		if err := CheckKind(user.Kind); err != nil {
			r.add("user.kind", "%s", err)
		}
	case user.Kind != "":
		r.add("user.kind", "a kind goes with by: external only")
	}
}

// withArticle is a state that accepts, in a sentence.
func withArticle(s State) string {
	if s == Active {
		return "an active"
	}
	return "a " + string(s)
}

func nameProblem(name string) string {
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return "a webhook needs a name"
	case n > maxName:
		return "a name has at most 100 characters"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "a name has no control characters"
	case IsID(name):
		return "a name does not look like the id of a webhook"
	case strings.TrimSpace(name) != name:
		return "a name has no blanks around it"
	default:
		return ""
	}
}

func oneOf[T ~string](r *report, field string, value T, allowed ...T) {
	if slices.Contains(allowed, value) {
		return
	}
	names := textsOf(allowed...)
	last := len(names) - 1
	choice := strings.Join(names[:last], ", ") + " or " + names[last]
	if value == "" {
		r.add(field, "is missing; want %s", choice)
		return
	}
	r.add(field, "want %s, not %q", choice, clip(string(value)))
}

func atMost(r *report, field string, n, limit int) {
	if n > limit {
		r.add(field, "has %d entries; the limit is %d", n, limit)
	}
}

func checkPath(r *report, field, text string) {
	if text == "" {
		r.add(field, "a path is missing; write $ for the whole payload")
		return
	}
	if n := utf8.RuneCountInString(text); n > MaxPathLength {
		r.add(field, "the path has %d characters; the limit is %d", n, MaxPathLength)
		return
	}
	if _, err := ParsePath(text); err != nil {
		r.add(field, "%q is not a path: %v", clip(text), err)
	}
}

func checkHeader(r *report, field, name string) {
	switch {
	case !headerPattern.MatchString(name):
		r.add(field, "%q is not the name of a header", clip(name))
	case slices.Contains(r.unkept, textproto.CanonicalMIMEHeaderKey(name)):
		r.add(field, "%s carries the signature and is not kept, so that no condition can test it", name)
	case slices.Contains(unkeptHeaders, textproto.CanonicalMIMEHeaderKey(name)):
		r.add(field, "%s carries a secret and is not kept, so that nothing can read it", name)
	}
}

// checkNumber refuses a number that would be slow to compute with.
func checkNumber(r *report, field, text string) {
	if !isNumber(text) {
		r.add(field, notNumber, clip(text))
		return
	}
	mantissa, exponent := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], text[i:]
	}
	if digits := strings.Map(onlyDigits, mantissa); len(digits) > MaxFactorDigits {
		r.add(field, "has %d digits; the limit is %d", len(digits), MaxFactorDigits)
	}
	if exp, _ := parseExponent(exponent); exp > maxExponent || exp < -maxExponent {
		r.add(field, "the exponent is beyond %d", maxExponent)
	}
}

func onlyDigits(r rune) rune {
	if r < '0' || r > '9' {
		return -1
	}
	return r
}

func isNumber(text string) bool {
	_, ok := ParseNumber(text)
	return ok
}
