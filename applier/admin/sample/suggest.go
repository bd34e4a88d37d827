package sample

import (
	"cmp"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Use is what a scalar looks fit for.
type Use string

const (
	Email    Use = "email"    // user: {by: email, path: …}
	Username Use = "username" // user: {by: username, path: …}
	Amount   Use = "amount"   // value: {path: …}
	Each     Use = "each"     // each: …
)

// Suggestion is one scalar of a payload, or an array of lines.
type Suggestion struct {
	// Path is in the form that a definition takes.
	Path string `json:"path"`
	// Kind is string, number, boolean, null or array.
	Kind string `json:"kind"`
	// Value is a string shortened, a number as the sender wrote it.
	Value string `json:"value"`
	// Use is nil for what looks like nothing.
	Use *Use   `json:"use"`
	Why string `json:"why"`
	// Mapping is one of an array, as YAML to fill in.
	Mapping *string `json:"mapping,omitempty"`

	score int
	depth int
}

// Suggest returns the scalars of a payload, as mapping.Scalars has them, and arrays
// that look like lines of an order: likely identifiers, such arrays, likely amounts,
// the rest; among likely ones the better and then the outer first, else in the order
// of the payload.
func Suggest(payload []byte) ([]Suggestion, *delivery.Failure) {
	scalars, failure := mapping.Scalars(payload)
	if failure != nil {
		return nil, failure
	}
	all := make([]Suggestion, len(scalars))
	for i, s := range scalars {
		all[i] = suggestion(s)
	}
	all = append(all, lists(scalars)...)
	slices.SortStableFunc(all, func(a, b Suggestion) int {
		if c := cmp.Compare(rank(a.Use), rank(b.Use)); c != 0 || a.Use == nil {
			return c
		}
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.depth, b.depth))
	})
	return all, nil
}

func rank(use *Use) int {
	switch {
	case use == nil:
		return 3
	case *use == Amount:
		return 2
	case *use == Each:
		return 1
	default:
		return 0
	}
}

func suggestion(s mapping.Scalar) Suggestion {
	out := Suggestion{Path: s.Path.Text(), Kind: kindName(s.Value.Kind()), Value: s.Value.Text(), depth: len(s.Path.Segments())}
	var use Use
	use, out.score, out.Why = guess(s.Path.LastName(), s.Value)
	if use != "" {
		out.Use = &use
	}
	if s.Value.Kind() == webhook.StringScalar {
		out.Value = admin.Shorten(out.Value, maxValue)
	}
	return out
}

// maxValue is how much of a string is shown, in characters.
const maxValue = 200

func kindName(kind webhook.ScalarKind) string {
	switch kind {
	case webhook.NullScalar:
		return "null"
	case webhook.BoolScalar:
		return "boolean"
	case webhook.NumberScalar:
		return "number"
	default:
		return "string"
	}
}
