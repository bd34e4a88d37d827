package console

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// node is one value of a JSON payload. The template "tree" shows it.
type node struct {
	Name     string // in the object or array above; empty at the top
	Kind     string // object, array, string, number, boolean, null
	Text     string // of a value: what a person reads, exactly
	Path     string // as a mapping has it; empty if it is too long for one
	Count    int    // of an object or array: how many it has
	Children []*node
	// Cut says that there are more than are shown.
	Cut bool
}

// IsBranch reports whether it is an object or array.
func (n *node) IsBranch() bool { return n.Kind == "object" || n.Kind == "array" }

// maxNodes and maxText bound what a page shows of a payload. The raw one has more.
const (
	maxNodes = 400
	maxText  = 500
)

// tree reads a payload, nil if it is no JSON. It is for looking at: what the
// applier takes is stricter.
func tree(payload []byte) *node {
	t := &treeReader{d: jsontext.NewDecoder(bytes.NewReader(payload), jsontext.AllowDuplicateNames(true)), left: maxNodes}
	n, err := t.value("", nil, 0)
	if err != nil {
		return nil
	}
	return n
}

type treeReader struct {
	d    *jsontext.Decoder
	left int
}

// value reads what is at a path, which has at least this many characters. Names
// are the sender's, and may be as long as a payload.
func (t *treeReader) value(name string, path []webhook.Segment, length int) (*node, error) {
	t.left--
	n := &node{Name: admin.Shorten(name, maxText)}
	if length <= webhook.MaxPathLength {
		if text := webhook.PathTo(path...).Text(); utf8.RuneCountInString(text) <= webhook.MaxPathLength {
			n.Path = text
		}
	}
	switch kind := t.d.PeekKind(); kind {
	case '{', '[':
		n.Kind = "array"
		if kind == '{' {
			n.Kind = "object"
		}
		return n, t.children(n, path, length)
	case 'n':
		n.Kind = "null"
	case 't', 'f':
		n.Kind = "boolean"
	case '0':
		n.Kind = "number"
	default:
		n.Kind = "string"
	}
	v, err := t.d.ReadValue()
	if err != nil {
		return nil, err
	}
	n.Text = admin.Shorten(string(v), maxText)
	return n, nil
}

// children reads an object or array to its end, and keeps what there is room for.
func (t *treeReader) children(n *node, path []webhook.Segment, length int) error {
	if _, err := t.d.ReadToken(); err != nil {
		return err
	}
	for ; t.d.PeekKind() != '}' && t.d.PeekKind() != ']'; n.Count++ {
		segment := webhook.Segment{Index: int64(n.Count), IsIndex: true}
		name := strconv.Itoa(n.Count)
		if n.Kind == "object" {
			token, err := t.d.ReadToken()
			if err != nil {
				return err
			}
			name = token.String()
			segment = webhook.Segment{Name: name}
		}
		if t.left <= 0 {
			n.Cut = true
			if err := t.d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		child, err := t.value(name, append(slices.Clip(path), segment), length+1+utf8.RuneCountInString(segment.Name))
		if err != nil {
			return err
		}
		n.Children = append(n.Children, child)
	}
	_, err := t.d.ReadToken()
	return err
}
