package sample

import (
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Lines are what a mapping's each may go over: an array of objects with something
// that names a product.

// The names of a product's key, the best first, and those of a quantity. Shopify's
// current_quantity is what is left of quantity after refunds.
var (
	productNames  = []string{"sku", "productid", "packageid", "variantid", "priceid", "itemid", "product", "package", "item", "code", "id", "name", "title"}
	quantityNames = []string{"currentquantity", "quantity", "qty", "count", "units"}
)

// maxSeen is how many values a lookup's skeleton has.
const maxSeen = 50

// maxSeenText is how long a value of a lookup's skeleton is.
const maxSeenText = 100

// array is what a sample's elements of one array have.
type array struct {
	path    webhook.Path
	count   int64
	members []*lineMember // in the order of the payload
}

type lineMember struct {
	path   webhook.Path // from the element
	name   string
	values []webhook.Scalar
}

// lists returns the arrays that look like lines of an order, each with a mapping to
// fill in.
func lists(scalars []mapping.Scalar) []Suggestion {
	var all []*array
	for _, s := range scalars {
		all = addToArray(all, s)
	}
	var out []Suggestion
	for _, a := range all {
		product := a.best(productNames)
		if product == nil {
			continue
		}
		m := webhook.Mapping{
			Currency: "coins", Operator: webhook.Add, Each: a.path.Text(),
			Value: webhook.Value{Path: product.path.Text(), Lookup: product.skeleton()},
		}
		why := "its elements have " + product.path.Text()
		if quantity := a.best(quantityNames); quantity != nil {
			m.Value.TimesBy = &webhook.Source{Path: quantity.path.Text()}
			why += " and " + quantity.path.Text()
		}
		if refunded := a.best([]string{"refunded"}); refunded != nil {
			m.When = []webhook.Condition{{Path: refunded.path.Text(), NotEquals: webhook.Bool(true)}}
		}
		out = append(out, Suggestion{
			Path: a.path.Text(), Kind: "array", Value: admin.Counted(int(a.count), "element", "elements"), Use: new(Each), Why: why, Mapping: new(webhook.FormatMapping(m)),
			depth: len(a.path.Segments()),
		})
	}
	return out
}

// addToArray notes a scalar that is inside an element of an array. Arrays in arrays
// are no lines: no path names all of them.
func addToArray(all []*array, s mapping.Scalar) []*array {
	segments := s.Path.Segments()
	at := slices.IndexFunc(segments, func(s webhook.Segment) bool { return s.IsIndex })
	if at < 0 || at+1 == len(segments) || slices.ContainsFunc(segments[at+1:], func(s webhook.Segment) bool { return s.IsIndex }) {
		return all
	}
	path := webhook.PathTo(segments[:at]...)
	if at == 0 {
		path, _ = webhook.ParsePath("$") // no error
	}
	i := slices.IndexFunc(all, func(a *array) bool { return a.path.Equal(path) })
	if i < 0 {
		i, all = len(all), append(all, &array{path: path})
	}
	a := all[i]
	a.count = max(a.count, segments[at].Index+1)
	inside := webhook.PathTo(segments[at+1:]...)
	n := slices.IndexFunc(a.members, func(m *lineMember) bool { return m.path.Equal(inside) })
	if n < 0 {
		n, a.members = len(a.members), append(a.members, &lineMember{path: inside, name: flatten(s.Path.LastName())})
	}
	a.members[n].values = append(a.members[n].values, s.Value)
	return all
}

// best is the member with the best of these names: the outer, where several have it.
func (a *array) best(names []string) *lineMember {
	for _, name := range names {
		var found *lineMember
		for _, m := range a.members {
			if m.name == name && m.isScalar() && (found == nil || len(m.path.Segments()) < len(found.path.Segments())) {
				found = m
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// isScalar: some value of it is not null.
func (m *lineMember) isScalar() bool {
	return slices.ContainsFunc(m.values, func(s webhook.Scalar) bool { return s.Kind() != webhook.NullScalar })
}

// ValuesAt returns the texts that a payload has at a path, each once: of every line of the
// array at each, or of the payload where that is empty. There are none where a path is no
// path.
func ValuesAt(payload []byte, each, path string) (values []string) {
	scalars, failure := mapping.Scalars(payload)
	at, err := webhook.ParsePath(path)
	if failure != nil || err != nil {
		return nil
	}
	for _, s := range scalars {
		inside, ok := insideOf(s.Path, each)
		text := s.Value.Text()
		isWanted := ok && inside.Equal(at) && s.Value.Kind() != webhook.NullScalar && len(text) <= maxSeenText
		if isWanted && len(values) < maxSeen && !slices.Contains(values, text) {
			values = append(values, text)
		}
	}
	return values
}

// insideOf is what follows an element of the array at each.
func insideOf(path webhook.Path, each string) (inside webhook.Path, ok bool) {
	if each == "" {
		return path, true
	}
	list, err := webhook.ParsePath(each)
	n, segments := len(list.Segments()), path.Segments()
	if err != nil || len(segments) <= n || !segments[n].IsIndex || !slices.Equal(segments[:n], list.Segments()) {
		return inside, false
	}
	return webhook.PathTo(segments[n+1:]...), true
}

// skeleton is a lookup of the values seen, which give nothing yet.
func (m *lineMember) skeleton() map[string]string {
	lookup := map[string]string{}
	for _, s := range m.values {
		if s.Kind() != webhook.NullScalar && len(s.Text()) <= maxSeenText && len(lookup) < maxSeen {
			lookup[s.Text()] = "0"
		}
	}
	return lookup
}
