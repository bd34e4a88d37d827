package webhook

import (
	"bytes"
	"crypto/sha256"
	"io"
	"regexp"
	"slices"
	"strings"
)

// fingerprintLength is enough base32 for 60 bits: no two webhooks of an
// installation share them.
const fingerprintLength = 12

// Fingerprint stands for a webhook's id where the id must not be read. The id of a
// keyless webhook is a credential; nothing leads from a fingerprint back to it.
func Fingerprint(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "whf_" + strings.ToLower(idEncoding.EncodeToString(sum[:]))[:fingerprintLength]
}

var fingerprintPattern = regexp.MustCompile(`^whf_[a-z2-7]{12}$`)

// IsFingerprint reports whether s has the form of a fingerprint.
func IsFingerprint(s string) bool { return fingerprintPattern.MatchString(s) }

const idLength = len("wh_") + 26

// isIDAt reports whether an id begins at a place of a text.
func isIDAt(text []byte, at int) bool {
	return len(text)-at >= idLength && bytes.HasPrefix(text[at:], []byte("wh_")) && IsID(string(text[at:at+idLength]))
}

// HideIDs replaces the ids in a text that are to be hidden by their fingerprints. Ids may
// overlap: a text that looks like one may end with another's first letters.
func HideIDs(text []byte, hide func(id string) bool) []byte {
	if !bytes.Contains(text, []byte("wh_")) { // most texts have none
		return text
	}
	var out []byte
	written := 0
	for i := range text {
		if text[i] != 'w' || !isIDAt(text, i) {
			continue
		}
		id := string(text[i : i+idLength])
		if !hide(id) {
			continue
		}
		if i > written {
			out = append(out, text[written:i]...)
		}
		out = append(out, Fingerprint(id)...)
		written = i + idLength
	}
	return append(out, text[written:]...)
}

// Hider is a writer that hides ids, wherever a text is cut into writes. Close it: it
// may hold back the last bytes.
type Hider struct {
	W    io.Writer
	Hide func(id string) bool
	held []byte // what may become an id, or overlaps one
}

func (h *Hider) Write(p []byte) (int, error) {
	text := slices.Concat(h.held, p)
	cut := len(text) - heldBack(text)
	h.held = text[cut:]
	if cut == 0 {
		return len(p), nil
	}
	if _, err := h.W.Write(HideIDs(text[:cut], h.Hide)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was held back.
func (h *Hider) Close() error {
	held := h.held
	h.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := h.W.Write(HideIDs(held, h.Hide))
	return err
}

var idBegins = regexp.MustCompile(`w(h(_[a-z2-7]{0,25})?)?$`)

// heldBack is how many bytes at the end wait for what follows.
func heldBack(text []byte) int {
	end := max(0, len(text)-idLength+1)
	at := idBegins.FindIndex(text[end:])
	if at == nil {
		return 0
	}
	from := end + at[0]
	for i := from - 1; i > from-idLength && i >= 0; i-- {
		if isIDAt(text, i) { // it ends with the letters that another may begin with
			from = i
		}
	}
	return len(text) - from
}
