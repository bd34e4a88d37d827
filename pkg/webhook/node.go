package webhook

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// nodeKind is what a part of a definition's text is, in the terms of JSON.
type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	numberNode // in JSON's grammar
	// oddNumberNode is a number of YAML only, such as 0x10 or 1_000. No field takes
	// it: what it means differs between readers.
	oddNumberNode
	stringNode
	listNode
	objectNode
	// probeNode stands where any part may be, to be told what the part takes.
	probeNode
)

var nodeKindNames = [...]string{
	nullNode: "nothing", boolNode: "true or false", numberNode: "a number",
	oddNumberNode: "a number that is not in JSON's grammar",
	stringNode:    "text", listNode: "a list", objectNode: "an object",
}

func (k nodeKind) String() string { return nodeKindNames[k] }

// schemaType is the kind in the words of JSON Schema.
func (k nodeKind) schemaType() string {
	return map[nodeKind]string{boolNode: "boolean", stringNode: "string", listNode: "array", objectNode: "object"}[k]
}

// node is one part of a definition's text. YAML and JSON are read into the same
// tree, so that all that follows knows one form with places.
type node struct {
	kind    nodeKind
	text    string // of a scalar: a string's value, otherwise as it was written
	place   position
	members []member // of an object, in the order of the text, names unique
	items   []*node  // of a list
	shape   *shape   // of a probe
}

type member struct {
	name  string
	place position
	value *node
}

// scalar gives a node's value; false for a list, an object or an odd number.
func (n *node) scalar() (Scalar, bool) {
	switch n.kind {
	case nullNode:
		return Null(), true
	case boolNode:
		return Bool(n.text == "true"), true
	case numberNode:
		return Scalar{NumberScalar, n.text}, true
	case stringNode:
		return String(n.text), true
	default:
		return Scalar{}, false
	}
}

const (
	// maxSource bounds a definition's text. The bucket takes values of 1 MiB.
	maxSource = 256 << 10
	// maxNodeDepth is more than a definition has.
	maxNodeDepth = 16
)

// parseTree reads YAML or JSON. Its error is Errors.
func parseTree(src []byte) (*node, error) {
	src = bytes.TrimPrefix(src, []byte("\uFEFF"))
	switch {
	case bytes.HasPrefix(src, []byte("\xff\xfe")), bytes.HasPrefix(src, []byte("\xfe\xff")):
		return nil, sourceError(position{1, 1}, "the text is UTF-16; save the file as UTF-8")
	case bytes.IndexByte(src, 0) >= 0:
		return nil, sourceError(placeOf(src, bytes.IndexByte(src, 0)), "a byte here is 0: a definition is YAML or JSON in UTF-8, and this file is UTF-16 or no text at all")
	case len(src) > maxSource:
		return nil, sourceError(position{}, "the definition has %d bytes; the limit is %d", len(src), maxSource)
	case !utf8.Valid(src):
		bad := validPrefix(string(src))
		return nil, sourceError(placeOf(src, bad), "the text is not UTF-8: save the file as YAML or JSON in UTF-8")
	case json.Valid(src):
		// JSON is YAML, but a YAML parser is not what JSON's escapes were made for.
		return parseJSON(src)
	}
	tree, err := parseYAML(src)
	if err != nil && isLikeJSON(src) {
		err = jsonProblem(src, err)
	}
	return tree, err
}

func sourceError(place position, format string, args ...any) error {
	var r report
	r.addAt(place, "", format, args...)
	return r.err()
}

// placeOf counts the line and, in characters, the column of a byte offset.
func placeOf(src []byte, offset int) position {
	before := src[:min(offset, len(src))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return position{
		line:   bytes.Count(before, []byte("\n")) + 1,
		column: utf8.RuneCount(before[start:]) + 1,
	}
}

// duplicate gives the first name that stands twice.
func duplicate(members []member) (member, bool) {
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if seen[m.name] {
			return m, true
		}
		seen[m.name] = true
	}
	return member{}, false
}
