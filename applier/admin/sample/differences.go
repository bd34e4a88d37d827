package sample

import (
	"slices"

	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Difference is one path of two payloads with the value that each has there, as JSON.
type Difference struct {
	Path string
	// Values are empty where a payload has nothing there.
	Values [2]string
	// Read says that a mapping reads it.
	Read bool
}

// Differs reports whether the payloads differ there.
func (d Difference) Differs() bool { return d.Values[0] != d.Values[1] }

// Differences puts two payloads next to each other, path by path, in the order of the first.
// The definitions say which paths are read. A failure says which of the payloads is none.
func Differences(payloads [2][]byte, readBy ...webhook.Definition) (all []Difference, failures [2]*delivery.Failure) {
	at := map[string]int{}
	for side, payload := range payloads {
		scalars, failure := mapping.Scalars(payload)
		failures[side] = failure
		for _, s := range scalars {
			path := s.Path.Text()
			i, ok := at[path]
			if !ok {
				i = len(all)
				at[path] = i
				all = append(all, Difference{Path: path, Read: slices.ContainsFunc(readBy, func(def webhook.Definition) bool { return reads(def, s.Path) })})
			}
			if text, err := s.Value.MarshalJSON(); err == nil {
				all[i].Values[side] = string(text)
			}
		}
	}
	return all, failures
}

// reads reports whether a definition reads what is at a path.
func reads(def webhook.Definition, path webhook.Path) bool {
	is := func(each, wanted string) bool {
		at, err := webhook.ParsePath(wanted)
		inside, ok := insideOf(path, each)
		return wanted != "" && err == nil && ok && inside.Equal(at)
	}
	ofConditions := func(each string, when []webhook.Condition) bool {
		return slices.ContainsFunc(when, func(c webhook.Condition) bool {
			return is(each, c.Path) || slices.ContainsFunc(c.Any, func(one webhook.Condition) bool { return is(each, one.Path) })
		})
	}
	ofMapping := func(m webhook.Mapping) bool {
		by := m.Value.TimesBy
		return is(m.Each, m.Value.Path) || by != nil && is(m.Each, by.Path) || ofConditions(m.Each, m.When)
	}
	key := def.Idempotency
	return def.User != nil && is("", def.User.Path) || ofConditions("", def.When) || slices.ContainsFunc(def.Mappings, ofMapping) ||
		key != nil && (is("", key.Path) || slices.ContainsFunc(key.Composite, func(s webhook.Source) bool { return is("", s.Path) }))
}
