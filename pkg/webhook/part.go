package webhook

import "strings"

// A form has fields for the usual parts of a definition. These write and read the
// others as YAML, so that a form keeps them.

// FormatMapping writes one mapping as YAML.
func FormatMapping(m Mapping) string {
	text := strings.TrimPrefix(string(appendMapping(nil, m)), "  - ")
	return strings.TrimSuffix(strings.ReplaceAll(text, "\n    ", "\n"), "\n")
}

// ParseMapping reads one mapping. It does not check what it may be.
func ParseMapping(text string) (Mapping, error) {
	return parsePart(text, (*decoder).mapping)
}

// FormatCondition writes one condition as YAML.
func FormatCondition(c Condition) string { return string(appendCondition(nil, c)) }

// ParseCondition reads one condition. It does not check what it may be.
func ParseCondition(text string) (Condition, error) {
	return parsePart(text, (*decoder).condition)
}

func parsePart[T any](text string, take func(d *decoder, n *node, field string) T) (part T, err error) {
	tree, err := parseTree([]byte(text))
	if err != nil {
		return part, err
	}
	d := decoder{report{places: make(map[string]position)}}
	part = take(&d, tree, "")
	return part, d.err()
}

// IsOpen reports whether a mapping has a part that came with lists and lookups.
func (m Mapping) IsOpen() bool {
	v := m.Value
	return m.Each != "" || len(m.When) > 0 || v.Header != "" || v.Lookup != nil || v.Default != nil || v.TimesBy != nil ||
		v.Min != "" || v.Max != ""
}
