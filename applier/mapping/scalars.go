package mapping

import (
	"bytes"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// Scalar is one string, number, boolean or null of a payload.
type Scalar struct {
	Path  webhook.Path
	Value webhook.Scalar
}

// Scalars gives all scalars of a payload, in its order. The payload must be as
// Evaluate wants it.
func Scalars(body []byte) ([]Scalar, *delivery.Failure) {
	// What is too deep is found before it is walked into.
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
	scalars  []Scalar
}

func (w *walker) value() error {
	switch kind := w.decoder.PeekKind(); kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		return w.inside(kind == jsontext.KindBeginArray)
	default:
		raw, err := w.decoder.ReadValue()
		if err != nil {
			return err
		}
		w.scalars = append(w.scalars, Scalar{
			Path:  webhook.PathTo(w.segments...),
			Value: value{kind: kind, raw: raw.Clone()}.scalar(),
		})
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
		w.segments = append(w.segments, segment)
		if err := w.value(); err != nil {
			return err
		}
		w.segments = w.segments[:len(w.segments)-1]
	}
}
