package webhook

import (
	"net/textproto"
	"slices"
)

// usesMappingParts reports whether a definition has a part of a mapping that versions
// before formatOpen do not know.
func (def Definition) usesMappingParts() bool {
	if def.User != nil && def.User.Header != "" || def.Idempotency != nil && def.Idempotency.Composite != nil {
		return true
	}
	return slices.ContainsFunc(def.When, Condition.isOpen) || slices.ContainsFunc(def.Mappings, Mapping.IsOpen)
}

func (c Condition) isOpen() bool {
	return len(c.Any) > 0 || c.GreaterThan != "" || c.AtLeast != "" || c.LessThan != "" || c.AtMost != "" ||
		c.StartsWith != "" || c.EndsWith != "" || c.Contains != ""
}

// NamedKeyHeaders are the headers that the definition names for its idempotency key.
func (def Definition) NamedKeyHeaders() []string {
	var names []string
	if key := def.Idempotency; key != nil {
		names = addHeaders(names, Source{Header: key.Header})
		names = addHeaders(names, key.Composite...)
	}
	return names
}

// MappingHeaders are the other headers that the definition reads.
func (def Definition) MappingHeaders() []string {
	var names []string
	if def.User != nil {
		names = addHeaders(names, Source{Header: def.User.Header})
	}
	names = conditionHeaders(names, def.When)
	for _, m := range def.Mappings {
		names = conditionHeaders(names, m.When)
		names = addHeaders(names, Source{Header: m.Value.Header})
		if m.Value.TimesBy != nil {
			names = addHeaders(names, *m.Value.TimesBy)
		}
	}
	return names
}

func conditionHeaders(names []string, when []Condition) []string {
	for _, c := range when {
		names = addHeaders(names, Source{Header: c.Header})
		names = conditionHeaders(names, c.Any)
	}
	return names
}

func addHeaders(names []string, sources ...Source) []string {
	for _, s := range sources {
		if s.Header != "" {
			names = append(names, textproto.CanonicalMIMEHeaderKey(s.Header))
		}
	}
	return names
}
