package mapping

import (
	"bytes"
	"sync"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// extract checks the whole body and gives the values of a program's slots, in one
// pass that builds no tree.
func extract(program *webhook.Program, body []byte) (found, *delivery.Failure) {
	x := extractor{
		body:    body,
		decoder: decoders.Get().(*jsontext.Decoder), // the pool holds nothing else
		found:   found{values: make([]value, program.Slots), arrays: newArrays(program.Arrays)},
	}
	x.decoder.Reset(bytes.NewBuffer(body))
	defer func() {
		x.decoder.Reset(new(bytes.Buffer)) // releases the body
		decoders.Put(x.decoder)
	}()
	if err := x.read(program.Paths); err != nil {
		return found{}, invalidJSON(body, err)
	}
	if failure := onlyBlanks(body, int(x.decoder.InputOffset())); failure != nil {
		return found{}, failure
	}
	if at, deep := tooDeep(body); deep {
		return found{}, tooDeepAt(at)
	}
	return x.found, nil
}

// decoders spares most of the allocations for a small body: a decoder keeps the
// space for its stacks.
var decoders = sync.Pool{New: func() any { return jsontext.NewDecoder(new(bytes.Buffer)) }}

type extractor struct {
	body    []byte
	decoder *jsontext.Decoder
	found
}

// read reads the next value and keeps what node wants of it.
func (x *extractor) read(node *webhook.PathNode) error {
	kind := x.decoder.PeekKind()
	switch {
	case kind == jsontext.KindBeginObject && len(node.Names) > 0:
		x.keep(node, value{kind: kind})
		return x.object(node)
	case kind == jsontext.KindBeginArray && (len(node.Indexes)+len(node.FromEnd) > 0 || node.Elements != nil):
		x.keep(node, value{kind: kind})
		return x.array(node)
	}
	start, end, err := x.skip()
	if err != nil {
		return err
	}
	v := value{kind: kind}
	if kind != jsontext.KindBeginObject && kind != jsontext.KindBeginArray {
		v.raw = x.body[start:end]
	}
	x.keep(node, v)
	return nil
}

func (x *extractor) keep(node *webhook.PathNode, v value) {
	if node.Slot != webhook.NoSlot {
		x.values[node.Slot] = v
	}
}

// skip checks the next value as a whole and tells where in the body it stands.
// The bytes that the decoder gives are its own; those of the body stay.
func (x *extractor) skip() (start, end int, err error) {
	raw, err := x.decoder.ReadValue()
	if err != nil {
		return 0, 0, err
	}
	end = int(x.decoder.InputOffset())
	return end - len(raw), end, nil
}

func (x *extractor) object(node *webhook.PathNode) error {
	if _, err := x.decoder.ReadToken(); err != nil {
		return err
	}
	for x.decoder.PeekKind() != jsontext.KindEndObject {
		child, err := x.name(node)
		if err != nil {
			return err
		}
		if child == nil {
			_, _, err = x.skip()
		} else {
			err = x.read(child)
		}
		if err != nil {
			return err
		}
	}
	_, err := x.decoder.ReadToken()
	return err
}

// name reads a member's name and gives what is wanted of its value, or nil. It
// also meets an error that PeekKind only hints at.
func (x *extractor) name(node *webhook.PathNode) (*webhook.PathNode, error) {
	raw, err := x.decoder.ReadValue()
	if err != nil {
		return nil, err
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') >= 0 {
		if inner, err = jsontext.AppendUnquote(nil, raw); err != nil {
			return nil, err
		}
	}
	return node.Names[string(inner)], nil
}

func (x *extractor) array(node *webhook.PathNode) error {
	if _, err := x.decoder.ReadToken(); err != nil {
		return err
	}
	last := newTail(node.FromEnd)
	for i := int64(0); x.decoder.PeekKind() != jsontext.KindEndArray; i++ {
		start, end, err := x.element(node, i)
		if err != nil {
			return err
		}
		last.add(start, end)
	}
	if _, err := x.decoder.ReadToken(); err != nil {
		return err
	}
	return x.fromEnd(node, last)
}

// element reads one element of an array, and tells where it stands. It is wanted by
// its place, or as one of all, or both.
func (x *extractor) element(node *webhook.PathNode, i int64) (start, end int, err error) {
	child := node.Indexes[i]
	if child == nil && node.Elements == nil {
		return x.skip()
	}
	before := int(x.decoder.InputOffset())
	if node.Elements != nil {
		err = x.oneOfAll(node)
	} else {
		err = x.read(child)
	}
	if err != nil {
		return 0, 0, err
	}
	// A comma and blanks stand before the element: again takes them off.
	end = int(x.decoder.InputOffset())
	if child != nil && node.Elements != nil {
		err = x.again(child, before, end)
	}
	return before, end, err
}

// oneOfAll reads an element into slots of its own.
func (x *extractor) oneOfAll(node *webhook.PathNode) error {
	a := &x.arrays[node.Array]
	if a.count++; a.count > webhook.MaxElements {
		_, _, err := x.skip()
		return err
	}
	inner := extractor{body: x.body, decoder: x.decoder, found: found{values: a.grow()}}
	return inner.read(node.Elements)
}

// again reads a part of the body a second time, for somebody else who wants it.
func (x *extractor) again(node *webhook.PathNode, start, end int) error {
	body := bytes.TrimLeft(x.body[start:end], " \t\r\n,")
	second := extractor{
		body:    body,
		decoder: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true)),
		found:   x.found,
	}
	return second.read(node)
}

// fromEnd looks a second time at the elements that are wanted by their place from
// the end: which they are is known only now.
func (x *extractor) fromEnd(node *webhook.PathNode, last tail) error {
	for back, child := range node.FromEnd {
		span, ok := last.at(back)
		if !ok {
			continue
		}
		if err := x.again(child, span.start, span.end); err != nil {
			return err
		}
	}
	return nil
}

type span struct{ start, end int }

// tail remembers where the last elements of an array stand, as many as are
// wanted.
type tail struct {
	most  int64
	spans []span
}

func newTail(wanted map[int64]*webhook.PathNode) tail {
	var t tail
	for back := range wanted {
		t.most = max(t.most, back)
	}
	return t
}

func (t *tail) add(start, end int) {
	if t.most == 0 {
		return
	}
	if int64(len(t.spans)) >= 2*t.most {
		kept := copy(t.spans, t.spans[int64(len(t.spans))-t.most:])
		t.spans = t.spans[:kept]
	}
	t.spans = append(t.spans, span{start, end})
}

// at gives the element that is back places from the end, from 1.
func (t *tail) at(back int64) (span, bool) {
	if back > int64(len(t.spans)) {
		return span{}, false
	}
	return t.spans[int64(len(t.spans))-back], true
}
