package webhook

import (
	"bytes"
	"encoding/json"
)

// jsonReader turns a text that encoding/json found valid into a tree. It works on
// tokens: what unmarshals into Go values forgets places and duplicate names.
type jsonReader struct {
	src     []byte
	decoder *json.Decoder
	offset  int      // of the newest token
	place   position // the same
}

func parseJSON(src []byte) (*node, error) {
	r := jsonReader{src: src, decoder: json.NewDecoder(bytes.NewReader(src)), place: placeOf(src, 0)}
	r.decoder.UseNumber()
	return r.value(0)
}

// next reads a token and tells where it starts.
func (r *jsonReader) next() (json.Token, position, error) {
	start := int(r.decoder.InputOffset())
	start += len(r.src[start:]) - len(bytes.TrimLeft(r.src[start:], " \t\r\n,:"))
	place := r.advance(start)
	token, err := r.decoder.Token()
	if err != nil {
		return nil, place, sourceError(place, "the JSON cannot be read")
	}
	return token, place, nil
}

// advance counts on from the token before: all from the start for each token would
// take the square of the text's length.
func (r *jsonReader) advance(offset int) position {
	between := placeOf(r.src[r.offset:offset], offset-r.offset)
	if between.line > 1 {
		r.place.line, r.place.column = r.place.line+between.line-1, between.column
	} else {
		r.place.column += between.column - 1
	}
	r.offset = offset
	return r.place
}

func (r *jsonReader) value(depth int) (*node, error) {
	token, place, err := r.next()
	if err != nil {
		return nil, err
	}
	n := &node{place: place}
	switch t := token.(type) {
	case nil:
		n.kind = nullNode
	case bool:
		n.kind, n.text = boolNode, Bool(t).Text()
	case json.Number:
		n.kind, n.text = numberNode, t.String()
	case string:
		n.kind, n.text = stringNode, t
	case json.Delim:
		if depth == maxNodeDepth {
			return nil, sourceError(place, "objects and lists are nested more than %d deep", maxNodeDepth)
		}
		if t == '[' {
			return n, r.list(n, depth+1)
		}
		return n, r.object(n, depth+1)
	}
	return n, nil
}

func (r *jsonReader) list(n *node, depth int) error {
	n.kind = listNode
	for r.decoder.More() {
		item, err := r.value(depth)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.next() // the closing bracket
	return err
}

func (r *jsonReader) object(n *node, depth int) error {
	n.kind = objectNode
	for r.decoder.More() {
		token, place, err := r.next()
		if err != nil {
			return err
		}
		value, err := r.value(depth)
		if err != nil {
			return err
		}
		name, _ := token.(string)
		n.members = append(n.members, member{name, place, value})
	}
	if twice, ok := duplicate(n.members); ok {
		return sourceError(twice.place, "the key %q occurs here twice", clip(twice.name))
	}
	_, _, err := r.next() // the closing brace
	return err
}
