package mapping

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// earlyKey gives the idempotency key that can be known without the payload's
// JSON: one of a header, or the body itself. It is nil when there is none.
func earlyKey(w *webhook.Webhook, body []byte, headers func(name string) (string, bool)) *applier.Key {
	if k, _ := w.KeyPlace(); k != nil && k.Body {
		sum := sha256.Sum256(body)
		return &applier.Key{Hash: sum, Body: sum, Where: "the payload as a whole"}
	}
	for _, name := range w.KeyHeaders() {
		if text, _ := headers(name); text != "" {
			return newKey(text, body, "the header "+name, "")
		}
	}
	return nil
}

// keyText gives a part of an idempotency key that is in the payload or a header.
func keyText(s *webhook.CompiledSource, in *scope) (string, *delivery.Failure) {
	v := in.find(s)
	at := in.spot(s)
	switch {
	case !v.present() && at.header != "":
		return "", noKeyHeader(at.header)
	case !v.present():
		return "", fail(delivery.MissingField, at.path, "The idempotency key is wanted %s, and there is %s.", at.at, absentOrNull(v))
	case v.kind == jsontext.KindBeginObject || v.kind == jsontext.KindBeginArray:
		return "", fail(delivery.InvalidFieldValue, at.path, "The idempotency key %s is %s; it should be a string, a number or a boolean.", at.at, v.kindName())
	}
	text := v.scalarText()
	switch {
	case text != "":
		return text, nil
	case at.header != "":
		return "", noKeyHeader(at.header)
	default:
		return "", fail(delivery.MissingField, at.path, "The idempotency key is wanted %s, and there is an empty string.", at.at)
	}
}

func noKeyHeader(name string) *delivery.Failure {
	return fail(delivery.MissingField, "", "The idempotency key is wanted in the header %s, and the request has none, or an empty one.", name)
}

// keyOf gives the key of a payload whose JSON was read. A key that the
// definition names has to be there.
func keyOf(w *webhook.Webhook, early *applier.Key, body []byte, in *scope) (*applier.Key, *delivery.Failure) {
	if early != nil {
		return early, nil
	}
	for key := w.Program.Key; key != nil; key = key.Else {
		found, failure := namedKey(key, body, in)
		if failure == nil || failure.Reason != delivery.MissingField || !key.Optional {
			return found, failure
		}
	}
	return nil, nil
}

func namedKey(key *webhook.CompiledKey, body []byte, in *scope) (*applier.Key, *delivery.Failure) {
	switch {
	case len(key.Composite) > 0:
		return compositeKey(key.Composite, body, in)
	case key.Slot != webhook.NoSlot:
		path := key.Path.Text()
		text, failure := keyText(&webhook.CompiledSource{Slot: key.Slot, Path: key.Path}, in)
		if failure != nil {
			return nil, failure
		}
		return newKey(text, body, "the value at "+path, path), nil
	default:
		return nil, noKeyHeader(key.Header)
	}
}

// compositeKey makes one key of several texts, each behind its length: so ["a", "bc"]
// and ["ab", "c"] differ. The first byte is in no key of one text, which is UTF-8.
func compositeKey(parts []webhook.CompiledSource, body []byte, in *scope) (*applier.Key, *delivery.Failure) {
	joined := []byte{0xff}
	places := make([]string, len(parts))
	for i := range parts {
		text, failure := keyText(&parts[i], in)
		if failure != nil {
			return nil, failure
		}
		joined = append(binary.BigEndian.AppendUint64(joined, uint64(len(text))), text...)
		places[i] = in.spot(&parts[i]).at
	}
	return newKey(string(joined), body, "the values "+strings.Join(places, ", "), ""), nil
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
