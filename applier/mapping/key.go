package mapping

import (
	"crypto/sha256"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// earlyKey gives the idempotency key that can be known without the payload's
// JSON: one of a header, or the body itself. It is nil when there is none.
func earlyKey(w *webhook.Webhook, body []byte, headers func(name string) (string, bool)) *applier.Key {
	names := webhook.DefaultKeyHeaders()
	if w.Idempotency != nil {
		names = []string{w.Idempotency.Header}
		if w.Idempotency.Body {
			sum := sha256.Sum256(body)
			return &applier.Key{Hash: sum, Body: sum, Where: "the payload as a whole"}
		}
	}
	for _, name := range names {
		if text, _ := headers(name); text != "" {
			return newKey(text, body, "the header "+name, "")
		}
	}
	return nil
}

// pathKey gives the idempotency key that is in the payload.
func pathKey(key *webhook.CompiledKey, body []byte, values []value) (*applier.Key, *delivery.Failure) {
	path, v := key.Path.Text(), values[key.Slot]
	switch {
	case !v.present():
		return nil, fail(delivery.MissingField, path, "The idempotency key is wanted at %s, and there is %s.", path, absentOrNull(v))
	case v.kind == jsontext.KindBeginObject || v.kind == jsontext.KindBeginArray:
		return nil, fail(delivery.InvalidFieldValue, path, "The idempotency key at %s is %s; it should be a string, a number or a boolean.", path, v.kindName())
	}
	text := v.scalarText()
	if text == "" {
		return nil, fail(delivery.MissingField, path, "The idempotency key is wanted at %s, and there is an empty string.", path)
	}
	return newKey(text, body, "the value at "+path, path), nil
}

// keyOf gives the key of a payload whose JSON was read. A key that the
// definition names has to be there.
func keyOf(w *webhook.Webhook, early *applier.Key, body []byte, values []value) (*applier.Key, *delivery.Failure) {
	key := w.Program.Key
	switch {
	case key == nil || early != nil:
		return early, nil
	case key.Slot != webhook.NoSlot:
		return pathKey(key, body, values)
	default:
		return nil, fail(delivery.MissingField, "", "The idempotency key is wanted in the header %s, and the request has none, or an empty one.", key.Header)
	}
}

// newKey hashes: senders choose the text and its length.
func newKey(text string, body []byte, where, path string) *applier.Key {
	return &applier.Key{Hash: sha256.Sum256([]byte(text)), Body: sha256.Sum256(body), Where: where, Path: path}
}

func absentOrNull(v value) string {
	if v.kind == absent {
		return "nothing"
	}
	return "null"
}
