package ingress

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// maxHeaderBytes bounds the names and values that are kept with a delivery.
const maxHeaderBytes = 8 << 10

// unkept are the headers that carry secrets, and those that are about the
// connection and not about the event. Names are canonical.
var unkept = map[string]bool{
	apiKeyHeader:          true,
	"Authorization":       true,
	"Cookie":              true,
	"Proxy-Authorization": true,
	"Set-Cookie":          true,

	webhook.SignatureIDHeader: true, // nobody but the ingress says it

	"Accept-Encoding":   true,
	"Connection":        true,
	"Content-Length":    true,
	"Expect":            true,
	"Keep-Alive":        true,
	"Proxy-Connection":  true,
	"Te":                true,
	"Trailer":           true,
	"Transfer-Encoding": true,
	"Upgrade":           true,
}

// keyHeaders returns those that may hold an idempotency key, first the one that
// the definition or the signature names.
func keyHeaders(w *webhook.Webhook) []string {
	return slices.Concat(w.NamedKeyHeaders(), w.KeyHeaders(), webhook.DefaultKeyHeaders())
}

// decisive returns the headers that the applier decides by, the most important
// first. They get room before all others, in this order. The keys lead: without
// its idempotency key a retry would take effect twice.
func decisive(w *webhook.Webhook) []string {
	return append(append(keyHeaders(w), encryptedHeader), w.MappingHeaders()...)
}

// maxKeyBytes is how long an idempotency key is kept as it is.
const maxKeyBytes = 1 << 10

// keptValue makes a value valid UTF-8, and short if it is a key. Different keys
// stay different: what is not UTF-8 is taken for Latin-1, as HTTP once said, and
// a long key is kept as its digest.
func keptValue(name, value string, w *webhook.Webhook) string {
	if len(value) > maxKeyBytes && slices.Contains(keyHeaders(w), name) {
		sum := sha256.Sum256([]byte(value))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	if utf8.ValidString(value) {
		return value
	}
	runes := make([]rune, len(value))
	for i := range len(value) {
		runes[i] = rune(value[i])
	}
	return string(runes)
}

// usualHeaders is for how many headers no memory is allocated.
const usualHeaders = 24

func sortedKeys(h http.Header, keys []string) []string {
	for key := range h {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// keepHeaders returns what is kept of a request's headers, sorted by name. What
// is beyond maxHeaderBytes is dropped from the end, except the decisive ones. The id
// that the signature carries becomes a header where it is in none.
func keepHeaders(h http.Header, w *webhook.Webhook, signedID string) []delivery.Header {
	all := make([]delivery.Header, 0, len(h)+1)
	if signedID != "" && w.Scheme != nil && len(w.Scheme.IDHeaders()) == 0 {
		all = append(all, delivery.Header{Name: webhook.SignatureIDHeader, Value: keptValue(webhook.SignatureIDHeader, signedID, w)})
	}
	for _, key := range sortedKeys(h, make([]string, 0, usualHeaders)) {
		name := strings.ToValidUTF8(http.CanonicalHeaderKey(key), "\uFFFD")
		if unkept[name] || slices.Contains(w.SecretHeaders, name) {
			continue
		}
		for _, value := range h[key] {
			all = append(all, delivery.Header{Name: name, Value: keptValue(name, value, w)})
		}
	}
	if byName := func(a, b delivery.Header) int { return strings.Compare(a.Name, b.Name) }; !slices.IsSortedFunc(all, byName) {
		slices.SortStableFunc(all, byName) // there were keys that are not canonical
	}
	if size(all) <= maxHeaderBytes {
		return all
	}
	return cut(all, decisive(w))
}

// cut keeps the headers named first, in the order of these names, as far as they
// fit. Then it keeps the others, up to the first that does not fit.
func cut(sorted []delivery.Header, first []string) []delivery.Header {
	room := maxHeaderBytes
	keep := make([]bool, len(sorted))
	fits := func(i int) bool {
		n := len(sorted[i].Name) + len(sorted[i].Value)
		if keep[i] || n > room {
			return keep[i]
		}
		keep[i], room = true, room-n
		return true
	}
	for _, name := range first {
		for i, h := range sorted {
			if h.Name == name {
				fits(i)
			}
		}
	}
	for i, h := range sorted {
		if !slices.Contains(first, h.Name) && !fits(i) {
			break
		}
	}
	kept := sorted[:0]
	for i, h := range sorted {
		if keep[i] {
			kept = append(kept, h)
		}
	}
	return kept
}

func size(headers []delivery.Header) int {
	n := 0
	for _, h := range headers {
		n += len(h.Name) + len(h.Value)
	}
	return n
}
