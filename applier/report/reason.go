package report

import (
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/coinhook/coinhook/applier"
)

// reasonBytes bounds what is published of an error.
const reasonBytes = 300

var (
	userOfURL = regexp.MustCompile(`://[^/\s]*@`)
	password  = regexp.MustCompile(`(?i)password=('[^']*'|"[^"]*"|[^\s&]*)`)
)

// reason is an error's text in a form that everybody may read: a line of bounded
// length, without what a URL says of a user, and without values of a payload,
// which a database repeats when it refuses them.
func reason(err error) string {
	var data *applier.DataError
	if errors.As(err, &data) {
		return "PostgreSQL refuses its values: an error in Coinhook, look for its id in the applier's log"
	}
	text := userOfURL.ReplaceAllString(err.Error(), "://…@")
	text = password.ReplaceAllString(text, "password=…")
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if len(text) > reasonBytes {
		text = strings.ToValidUTF8(text[:reasonBytes], "") + "…"
	}
	return text
}
