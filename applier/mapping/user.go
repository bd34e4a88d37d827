package mapping

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// maxUser is the longest e-mail address of RFC 5321: 64 characters, @, and 255.
const maxUser = 320

// userRef checks the value that names the user and leaves it as it is. Details
// never quote it: it is personal data.
func userRef(program *webhook.Program, in *scope) (applier.UserRef, *delivery.Failure) {
	v := in.find(&program.User)
	if !v.present() {
		return applier.UserRef{}, missing(delivery.MissingUserIdentifier, in.spot(&program.User), v)
	}
	at := in.spot(&program.User)
	invalid := func(format string, args ...any) (applier.UserRef, *delivery.Failure) {
		return applier.UserRef{}, fail(delivery.InvalidUserIdentifier, at.path, format, args...)
	}
	text, ok := identifier(program.UserBy, v)
	if _, external := program.UserBy.ExternalKind(); !ok && external {
		return invalid("The value %s is %s; a user's %s is a string, or a whole number without an exponent.", at.at, v.kindName(), program.UserBy)
	}
	if !ok {
		return invalid("The value %s is %s; a user's %s is a string.", at.at, v.kindName(), program.UserBy)
	}
	switch n := utf8.RuneCountInString(text); {
	case n == 0:
		return invalid("The string %s is empty; it should be a user's %s.", at.at, program.UserBy)
	case n > maxUser:
		return invalid("The string %s has %d characters; a user's %s has at most %d.", at.at, n, program.UserBy, maxUser)
	case strings.ContainsFunc(text, unicode.IsControl):
		return invalid("The string %s holds a control character; a user's %s has none.", at.at, program.UserBy)
	case program.UserBy == webhook.ByID:
		if _, err := delivery.ParseID(text); err != nil {
			return invalid("The string %s is not a user's id: it is not a UUID.", at.at)
		}
	case program.UserBy == webhook.ByEmail && !isEmail(text):
		return invalid("The string %s is not an e-mail address: there is no @ with something on both sides.", at.at)
	}
	return applier.UserRef{By: program.UserBy, Value: text}, nil
}

// identifier is the text of the value. Other systems may give their ids as whole
// numbers, whose text they are, however long.
func identifier(by webhook.UserKey, v value) (text string, ok bool) {
	if v.kind == jsontext.KindString {
		return v.text(), true
	}
	if _, external := by.ExternalKind(); external && v.kind == jsontext.KindNumber && !strings.ContainsAny(string(v.raw), ".eE") {
		return string(v.raw), true
	}
	return "", false
}

// isEmail asks for little: whether the address is somebody's is seen when the
// user is looked up.
func isEmail(s string) bool {
	return len(s) >= 3 && strings.Contains(s[1:len(s)-1], "@")
}
