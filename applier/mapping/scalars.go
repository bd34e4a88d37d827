package mapping

import (
	"bytes"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// Scalar is one string, number, boolean or null of a payload.
type Scalar struct {
	Path  webhook.Path
	Value webhook.Scalar
}

// MaxScalars is how many scalars are offered to draw a mapping from.
const MaxScalars = 10_000

// Scalars returns the scalars of a payload that a definition can name, in the
// payload's order: the first MaxScalars, and none whose path is too long for a
// definition. This bounds the cost of hostile payloads. The payload must be as
// Evaluate wants it.
func Scalars(body []byte) ([]Scalar, *delivery.Failure) {
	// Too deep a payload is found before anything walks into it.
	if _, failure := extract(&webhook.Program{Paths: &webhook.PathNode{Slot: webhook.NoSlot}}, body); failure != nil {
		return nil, failure
	}
	w := walker{decoder: jsontext.NewDecoder(bytes.NewReader(body))}
	if err := w.value(); err != nil {
		return nil, invalidJSON(body, err)
	}
	return w.scalars, nil
}

type walker struct {
	decoder  *jsontext.Decoder
	segments []webhook.Segment // the way to the value that comes next
	length   int               // what its path has at least, in characters
	scalars  []Scalar
}

func (w *walker) value() error {
	if w.length > webhook.MaxPathLength || len(w.scalars) == MaxScalars {
		return w.decoder.SkipValue()
	}
	switch kind := w.decoder.PeekKind(); kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		return w.inside(kind == jsontext.KindBeginArray)
	default:
		raw, err := w.decoder.ReadValue()
		if err != nil {
			return err
		}
		path := webhook.PathTo(w.segments...)
		if utf8.RuneCountInString(path.Text()) <= webhook.MaxPathLength {
			w.scalars = append(w.scalars, Scalar{Path: path, Value: value{kind: kind, raw: raw.Clone()}.scalar()})
		}
		return nil
	}
}

func (w *walker) inside(array bool) error {
	if _, err := w.decoder.ReadToken(); err != nil {
		return err
	}
	for i := int64(0); ; i++ {
		kind := w.decoder.PeekKind()
		if kind == jsontext.KindEndArray || kind == jsontext.KindEndObject {
			_, err := w.decoder.ReadToken()
			return err
		}
		segment := webhook.Segment{Index: i, IsIndex: true}
		if !array {
			name, err := w.decoder.ReadToken()
			if err != nil {
				return err
			}
			segment = webhook.Segment{Name: name.String()}
		}
		length := 1 + utf8.RuneCountInString(segment.Name)
		w.segments, w.length = append(w.segments, segment), w.length+length
		if err := w.value(); err != nil {
			return err
		}
		w.segments, w.length = w.segments[:len(w.segments)-1], w.length-length
	}
}
