package webhook

import (
	"bytes"
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML reads the part of YAML that has a meaning in JSON: no anchors, tags,
// merge keys or second documents.
func parseYAML(src []byte) (tree *node, err error) {
	defer func() {
		// The parser is a third party's, and an admin's text must not end a process.
		if recover() != nil {
			tree, err = nil, sourceError(position{1, 1}, "the text is neither YAML nor JSON")
		}
	}()
	if at, ok := bracketStorm(src); ok {
		return nil, sourceError(placeOf(src, at), "objects and lists are nested more than %d deep", maxNodeDepth)
	}
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		return nil, syntaxError(src, err)
	}
	var body ast.Node
	for _, document := range file.Docs {
		if document.Body == nil {
			continue
		}
		if body != nil {
			return nil, sourceError(yamlPlace(document.Body), "one file holds one document; put this one into a file of its own")
		}
		body = document.Body
	}
	if body == nil {
		return nil, sourceError(position{1, 1}, "there is nothing here; a definition needs at least a name")
	}
	return yamlValue(body, 0)
}

// bracketStorm finds a nesting that no definition has and that the parser would
// take minutes for: its time grows with the square of the depth. The limit is far
// above maxNodeDepth, since brackets and dashes in quotes count here too.
func bracketStorm(src []byte) (offset int, found bool) {
	const limit = 1000
	open, dashes := 0, 0
	for i, c := range src {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open = max(open-1, 0) // closing brackets up front must not buy depth
		case '-':
			dashes++
		case '\n':
			dashes = 0
		}
		if open > limit || dashes > limit {
			return i, true
		}
	}
	return 0, false
}

func yamlPlace(n ast.Node) position { return tokenPlace(n.GetToken()) }

func tokenPlace(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{}
	}
	return position{t.Position.Line, t.Position.Column}
}

func syntaxError(src []byte, err error) error {
	var e yaml.Error
	if !errors.As(err, &e) {
		return sourceError(position{1, 1}, "the text is neither YAML nor JSON")
	}
	place := tokenPlace(e.GetToken())
	hint := ""
	lines := bytes.Split(src, []byte("\n"))
	if place.line > 0 && place.line <= len(lines) {
		hint = syntaxHint(lines[place.line-1], e.GetMessage())
	}
	return sourceError(place, "not valid YAML: %s%s", e.GetMessage(), hint)
}

func yamlValue(n ast.Node, depth int) (*node, error) {
	if depth > maxNodeDepth {
		return nil, sourceError(yamlPlace(n), "objects and lists are nested more than %d deep", maxNodeDepth)
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return yamlObject(yamlPlace(n), n.Values, depth+1)
	case *ast.MappingValueNode:
		return yamlObject(yamlPlace(n.Key), []*ast.MappingValueNode{n}, depth+1)
	case *ast.SequenceNode:
		list := &node{kind: listNode, place: yamlPlace(n)}
		for _, value := range n.Values {
			item, err := yamlValue(value, depth+1)
			if err != nil {
				return nil, err
			}
			list.items = append(list.items, item)
		}
		return list, nil
	case *ast.LiteralNode:
		return &node{kind: stringNode, text: n.Value.Value, place: yamlPlace(n)}, nil
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.DirectiveNode:
		return nil, sourceError(yamlPlace(n), "anchors (&), aliases (*), tags (!) and directives (%%) are not supported here; text that starts so must stand in quotes")
	case ast.ScalarNode:
		return yamlScalar(n.GetToken()), nil
	default:
		return nil, sourceError(yamlPlace(n), "this kind of YAML is not supported here")
	}
}

func yamlObject(place position, values []*ast.MappingValueNode, depth int) (*node, error) {
	object := &node{kind: objectNode, place: place}
	for i, v := range values {
		name, ok := yamlKey(v.Key)
		if !ok {
			return nil, sourceError(yamlPlace(v.Key), "a key is plain text")
		}
		if i == 0 {
			object.place = yamlPlace(v.Key)
		}
		value, err := yamlValue(v.Value, depth)
		if err != nil {
			return nil, err
		}
		object.members = append(object.members, member{name, yamlPlace(v.Key), value})
	}
	if twice, ok := duplicate(object.members); ok {
		return nil, sourceError(twice.place, "the key %q occurs here twice", clip(twice.name))
	}
	return object, nil
}

// yamlKey gives a key's text: a lookup's may look like a number or a boolean.
func yamlKey(key ast.MapKeyNode) (string, bool) {
	switch key := key.(type) {
	case *ast.StringNode:
		return key.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return key.GetToken().Value, true
	default:
		return "", false
	}
}

// yamlScalar decides a scalar's kind from its text, as the core schema of YAML
// 1.2 does, and keeps a number's text.
func yamlScalar(t *token.Token) *node {
	n := &node{kind: stringNode, text: t.Value, place: tokenPlace(t)}
	switch t.Type {
	case token.SingleQuoteType, token.DoubleQuoteType:
		return n
	case token.NullType, token.ImplicitNullType:
		n.kind = nullNode
		return n
	case token.BoolType:
		n.kind, n.text = boolNode, strings.ToLower(t.Value)
		return n
	}
	if _, ok := ParseNumber(t.Value); ok {
		n.kind = numberNode
		return n
	}
	switch t.Type {
	case token.IntegerType, token.FloatType, token.BinaryIntegerType, token.OctetIntegerType,
		token.HexIntegerType, token.InfinityType, token.NanType:
		n.kind = oddNumberNode
	}
	return n
}
