package mapping_test

import (
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/pkg/webhook"
	"pgregory.net/rapid"
)

var (
	paths       = []string{"a", "b", "c", "a.b", "b.c", "c[0]", "c[1]", "c[-1]", "c[0].a", "c[-1].b", "c[-2].a", "['d e']", "$", "b.c[0]"}
	inElement   = []string{"$", "a", "b", "c[0]", "c[-1]", "['d e']"}
	arrays      = []string{"c", "c", "c", "c", "b.c", "b.c", "c[0].c", "c[-1].c", "a", "$"}
	leaves      = []string{"1", "0", "2.5", `"3"`, `"x"`, `"red"`, "true", "false", "null", "-4", "1e2", `""`, `"12"`, "12", "12.0", "7", "1", "2", "3", "12"}
	someNumbers = []string{"0", "1", "5", "-3", "2.5", "12", "1e2"}
)

func pick(t *rapid.T, name string, from []string) string {
	return rapid.SampledFrom(from).Draw(t, name)
}

func yes(t *rapid.T, name string) bool { return rapid.Bool().Draw(t, name) }

// drawPayload usually has the user, and arrays where the mappings want them.
func drawPayload(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "is odd") == 0 {
		return drawJSON(t, 3)
	}
	list := func() string {
		items := make([]string, rapid.IntRange(0, 3).Draw(t, "elements"))
		for i := range items {
			items[i] = drawJSON(t, 2)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprintf(`{"user": "ada", "a": %s, "c": %s, "b": {"c": %s}, "d e": %s}`, drawJSON(t, 1), list(), list(), drawJSON(t, 1))
}

func drawJSON(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	switch {
	case depth < 3 && (depth == 0 || kind < 3):
		return pick(t, "leaf", leaves)
	case depth < 3 && kind == 3:
		items := make([]string, rapid.IntRange(0, 4).Draw(t, "elements"))
		for i := range items {
			items[i] = drawJSON(t, depth-1)
		}
		return "[" + strings.Join(items, " , ") + "]"
	}
	var members []string
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d e"}), 0, 4, rapid.ID).Draw(t, "members") {
		members = append(members, fmt.Sprintf("%q: %s", name, drawJSON(t, depth-1)))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func drawPlace(t *rapid.T, paths []string) webhook.Source {
	if rapid.IntRange(0, 7).Draw(t, "is a header") == 0 {
		return webhook.Source{Header: pick(t, "header", []string{"X-A", "X-B", "X-Empty", "X-None"})}
	}
	return webhook.Source{Path: pick(t, "path", paths)}
}

func drawTest(t *rapid.T, paths []string) webhook.Condition {
	s := drawPlace(t, paths)
	c := webhook.Condition{Path: s.Path, Header: s.Header}
	scalar := func() (s webhook.Scalar) {
		if err := s.UnmarshalJSON([]byte(pick(t, "scalar", leaves))); err != nil {
			panic(err)
		}
		return s
	}
	switch rapid.IntRange(0, 6).Draw(t, "test") {
	case 0:
		c.Equals = scalar()
	case 1:
		c.NotEquals = scalar()
	case 2:
		c.In = []webhook.Scalar{scalar(), scalar(), scalar()}
	case 3:
		into := rapid.SampledFrom([]*string{&c.GreaterThan, &c.AtLeast, &c.LessThan, &c.AtMost}).Draw(t, "comparison")
		*into = pick(t, "limit", someNumbers)
	case 4:
		into := rapid.SampledFrom([]*string{&c.StartsWith, &c.EndsWith, &c.Contains}).Draw(t, "text test")
		*into = pick(t, "affix", []string{"r", "d", "ed", "1", "x"})
	default:
		c.Exists = new(rapid.IntRange(0, 3).Draw(t, "exists") > 0)
	}
	return c
}

func drawWhen(t *rapid.T, paths []string, most int) (when []webhook.Condition) {
	for range rapid.IntRange(0, most).Draw(t, "conditions") {
		if rapid.IntRange(0, 3).Draw(t, "any") > 0 {
			when = append(when, drawTest(t, paths))
			continue
		}
		when = append(when, webhook.Condition{Any: []webhook.Condition{drawTest(t, paths), drawTest(t, paths)}})
	}
	return when
}

// drawValue is a value with a lookup and a default of these texts.
func drawValue(t *rapid.T, paths, texts []string) (v webhook.Value) {
	if rapid.IntRange(0, 5).Draw(t, "is a constant") == 0 {
		v.Constant = new(pick(t, "constant", texts))
		return v
	}
	s := drawPlace(t, paths)
	v.Path, v.Header = s.Path, s.Header
	if rapid.IntRange(0, 3).Draw(t, "looks up") == 0 {
		v.Lookup = map[string]string{}
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			v.Lookup[pick(t, "key", []string{"x", "red", "12", "12.0", "", "true", "1"})] = pick(t, "found", texts)
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "has a default") > 0 {
		v.Default = new(pick(t, "default", texts))
	}
	return v
}

func drawAmount(t *rapid.T, paths []string) webhook.Value {
	v := drawValue(t, paths, someNumbers)
	switch rapid.IntRange(0, 9).Draw(t, "multiplies") {
	case 0, 1:
		v.Times = pick(t, "times", someNumbers)
	case 2:
		v.TimesBy = new(drawPlace(t, paths))
	}
	if rapid.IntRange(0, 3).Draw(t, "clamps") == 0 {
		v.Min, v.Max = pick(t, "min", []string{"", "0", "-3"}), pick(t, "max", []string{"", "2.5", "5", "12"})
	}
	v.Round = rapid.SampledFrom([]webhook.Round{"", webhook.RoundDown, webhook.RoundUp, webhook.RoundHalfEven}).Draw(t, "round")
	v.Signed = rapid.IntRange(0, 3).Draw(t, "signed") > 0
	return v
}

func drawChange(t *rapid.T) webhook.Mapping {
	m := webhook.Mapping{
		Currency: pick(t, "currency", []string{"xp", "coins", "euro", "grain"}),
		Operator: rapid.SampledFrom([]webhook.Operator{webhook.Add, webhook.Subtract}).Draw(t, "operator"),
	}
	from := paths
	if yes(t, "each") {
		m.Each, from = pick(t, "array", arrays), inElement
	}
	m.When = drawWhen(t, from, 1)
	m.Value = drawAmount(t, from)
	return m
}

func drawDefinition(t *rapid.T) webhook.Definition {
	def := webhook.Definition{
		Name: "N", Community: "default", State: webhook.Active, Encryption: webhook.NoEncryption,
		User: &webhook.UserRef{By: webhook.ByUsername, Path: "user"},
		When: drawWhen(t, paths, rapid.IntRange(0, 1).Draw(t, "few conditions")),
	}
	if rapid.IntRange(0, 14).Draw(t, "another user") == 0 {
		s := drawPlace(t, paths)
		def.User.Path, def.User.Header = s.Path, s.Header
	}
	switch rapid.IntRange(0, 4).Draw(t, "idempotency") {
	case 0:
		s := drawPlace(t, append([]string{"user"}, paths...))
		def.Idempotency = &webhook.Idempotency{Path: s.Path, Header: s.Header}
	case 1:
		def.Idempotency = &webhook.Idempotency{Composite: []webhook.Source{{Path: "user"}, drawPlace(t, paths)}}
	}
	for range rapid.IntRange(1, 4).Draw(t, "mappings") {
		def.Mappings = append(def.Mappings, drawChange(t))
	}
	for _, field := range []string{"note", "size", "paid", "team"} {
		if rapid.IntRange(0, 4).Draw(t, "sets "+field) == 0 {
			texts := map[string][]string{"note": {"x", "", "1.50"}, "size": someNumbers, "paid": {"true"}, "team": {"red", "5"}}[field]
			def.Mappings = append(def.Mappings, webhook.Mapping{Field: field, When: drawWhen(t, paths, 1), Value: drawValue(t, paths, texts)})
		}
	}
	return def
}
