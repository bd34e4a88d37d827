package admin

import (
	"cmp"
	"fmt"
	"time"
	"unicode/utf8"
)

// DurationText is a duration in its two largest units, empty for less than a second. The
// names of the units are those of days, hours, minutes and seconds.
func DurationText(d time.Duration, names [4]string) string {
	sizes := [...]time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second}
	for i, size := range sizes {
		if d < size {
			continue
		}
		text := fmt.Sprintf("%d%s", d/size, names[i])
		if i+1 < len(sizes) {
			if rest := d % size / sizes[i+1]; rest > 0 {
				text += fmt.Sprintf(" %d%s", rest, names[i+1])
			}
		}
		return text
	}
	return ""
}

// Counted is a number of things, in the singular where it is one.
func Counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// AgeText is a duration in its two largest units.
func AgeText(d time.Duration) string {
	return cmp.Or(DurationText(d, [4]string{"d", "h", "m", "s"}), "less than 1s")
}

// LocalTime is a time for people, to the second.
func LocalTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// Shorten cuts a text to so many characters, the last of them … where it was cut.
func Shorten(s string, most int) string {
	count := 0
	cut := 0 // where the text ends if it has to make room for …
	for i := range s {
		if count == most-1 {
			cut = i
		}
		if count++; count > most {
			return s[:cut] + "…"
		}
	}
	return s
}

// TextOrBytes returns a payload as text where it is text, and else as it is; nil is
// neither.
func TextOrBytes(payload []byte) (*string, []byte) {
	if payload == nil || !utf8.Valid(payload) {
		return nil, payload
	}
	return new(string(payload)), nil
}
