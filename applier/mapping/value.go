package mapping

import (
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// absent is the kind of a value that the payload does not have.
const absent = jsontext.KindInvalid

// value is what the payload holds at a path. Its zero value is absent.
type value struct {
	kind jsontext.Kind
	// raw is the JSON of a scalar, inside the body. An object or array has none.
	raw []byte
}

// textValue is a text that is not in the body, as a value.
func textValue(text string) value {
	raw, _ := jsontext.AppendQuote(nil, text) // bad UTF-8 becomes U+FFFD
	return value{kind: jsontext.KindString, raw: raw}
}

// present is false for null too: a sender that has nothing to say may write null
// as well as leave the name out.
func (v value) present() bool { return v.kind != absent && v.kind != jsontext.KindNull }

// text is the value of a string.
func (v value) text() string {
	inner := v.raw[1 : len(v.raw)-1]
	for _, c := range inner {
		if c == '\\' {
			// The body was found valid, so that there is no error.
			unquoted, _ := jsontext.AppendUnquote(nil, v.raw)
			return string(unquoted)
		}
	}
	return string(inner)
}

// scalarText is a string's value, and the JSON of another scalar.
func (v value) scalarText() string {
	if v.kind == jsontext.KindString {
		return v.text()
	}
	return string(v.raw)
}

// scalar gives the value for a comparison; that of an absent value, an object or
// an array equals nothing.
func (v value) scalar() webhook.Scalar {
	switch v.kind {
	case jsontext.KindNull:
		return webhook.Null()
	case jsontext.KindTrue, jsontext.KindFalse:
		return webhook.Bool(v.kind == jsontext.KindTrue)
	case jsontext.KindString:
		return webhook.String(v.text())
	case jsontext.KindNumber:
		number, _ := webhook.NumberText(string(v.raw)) // valid, as the body is
		return number
	default:
		return webhook.Scalar{}
	}
}

// kindName is the value's kind in a sentence.
func (v value) kindName() string {
	switch v.kind {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "an array"
	default:
		return "absent"
	}
}
