package webhook

import (
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

// decoder turns a tree into a Definition. It reports wrong types and unknown
// keys, and leaves to check what the values may be.
type decoder struct{ report }

// read takes one field's node.
type read func(n *node, field string)

type keys map[string]read

func (d *decoder) object(n *node, field string, known keys) {
	if !d.expect(n, field, objectNode) {
		return
	}
	if n.kind == probeNode {
		n.ofMembers(field, known)
		return
	}
	for _, m := range n.members {
		child := childField(field, m.name)
		take, ok := known[m.name]
		if !ok {
			d.addAt(m.place, field, "the key %q is not known; the keys here are %s",
				clip(m.name), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			continue
		}
		d.places[child] = m.value.place
		if m.value.kind == nullNode {
			// YAML places the value of "key:" on the next line, however far it is.
			d.places[child] = m.place
		}
		take(m.value, child)
	}
}

// expect notes the node's place and reports a wrong type.
func (d *decoder) expect(n *node, field string, want nodeKind) bool {
	if n.takes(want.schemaType()) {
		return true
	}
	if _, ok := d.places[field]; !ok {
		d.places[field] = n.place
	}
	if n.kind == want {
		return true
	}
	if want == stringNode && n.kind != listNode && n.kind != objectNode && n.kind != nullNode {
		instead := writeInstead(n, field, want)
		if instead == "" {
			instead = "; put it in quotes"
		}
		d.add(field, "want text, not %s%s", n.kind, instead)
		return false
	}
	d.add(field, "want %s, not %s%s", want, n.kind, writeInstead(n, field, want))
	return false
}

func text[T ~string](d *decoder, into *T) read {
	return func(n *node, field string) {
		if d.expect(n, field, stringNode) {
			*into = T(n.text)
		}
	}
}

func (d *decoder) header(into *string) read {
	return func(n *node, field string) {
		if d.expect(n, field, stringNode) {
			*into = textproto.CanonicalMIMEHeaderKey(n.text)
		}
	}
}

func (d *decoder) boolean(into *bool) read {
	return func(n *node, field string) {
		if d.expect(n, field, boolNode) {
			*into = n.text == "true"
		}
	}
}

// number takes a number, bare or in quotes, and keeps its text.
func (d *decoder) number(into *string) read {
	return func(n *node, field string) {
		switch {
		case n.takes("number", "string"):
		case n.kind == oddNumberNode || n.kind == stringNode && !isNumber(n.text):
			d.add(field, notNumber, clip(n.text))
		case n.kind == numberNode || n.kind == stringNode:
			*into = n.text
		default:
			d.add(field, "want a number, not %s", n.kind)
		}
	}
}

// constant takes text, a number, true or false, and keeps its text. Whether that
// has to be a number is not known yet.
func (d *decoder) constant(into *string) read {
	return func(n *node, field string) {
		if n.takes("number", "string", "boolean") {
			return
		}
		switch n.kind {
		case oddNumberNode:
			d.add(field, notNumber+"; put it in quotes if text is meant", clip(n.text))
		case numberNode, stringNode, boolNode:
			*into = n.text
		default:
			d.add(field, "want a number, text, true or false, not %s", n.kind)
		}
	}
}

func (d *decoder) scalar(into *Scalar) read {
	return func(n *node, field string) {
		value, ok := n.scalar()
		switch {
		case n.takes("string", "number", "boolean", "null"):
		case ok:
			*into = value
		case n.kind == oddNumberNode:
			d.add(field, notNumber+"; put it in quotes if text is meant", clip(n.text))
		default:
			d.add(field, "want text, a number, true, false or null, not %s", n.kind)
		}
	}
}

// form is one of several ways to write a part.
type form struct {
	kind nodeKind
	take read
}

type forms []form

// either takes a part in the form that it has. The first is that of all other kinds:
// it says what is wrong with them.
func (d *decoder) either(n *node, field string, all forms) {
	take := all[0].take
	if n.kind == probeNode {
		for _, f := range all {
			one := newProbe()
			f.take(one, field)
			n.shape.forms = append(n.shape.forms, one.shape)
		}
		return
	}
	for _, f := range all {
		if f.kind == n.kind {
			take = f.take
		}
	}
	take(n, field)
}

func list[T any](d *decoder, into *[]T, item func(n *node, field string) T) read {
	return func(n *node, field string) {
		if !d.expect(n, field, listNode) {
			return
		}
		if n.kind == probeNode {
			one := newProbe()
			item(one, field)
			n.shape.items = one.shape
			return
		}
		for i, child := range n.items {
			name := itemField(field, i)
			d.places[name] = child.place
			*into = append(*into, item(child, name))
		}
	}
}
