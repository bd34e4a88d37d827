package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// mappingForm is one field mapping.
type mappingForm struct {
	Target   string // currency:coins or field:level
	Operator string
	// List: there is one change for each line of the array at Each, and all other paths
	// start at the line.
	List   bool
	Each   string
	Source string // path, header or constant
	Value  string
	// Lookup is the table that says what a value counts as.
	Lookup  []lookupRow
	Default string // empty: none
	// TimesFrom is path or header, or empty: Times is a number.
	TimesFrom, Times string
	Min, Max         string
	Round            string
	Signed           bool
	When             []conditionForm
	// YAML is the whole mapping where it has what the fields cannot hold.
	YAML string
}

// lookupRow is a row of a table: what the value is, and what it counts as.
type lookupRow struct{ Key, Value string }

// lookupShown is how many rows a table of the page has at most. A longer one is YAML.
const lookupShown = 200

// readMappingForm reads the mapping whose fields begin with a key, if there is one.
func readMappingForm(v url.Values, key string) (m mappingForm, ok bool) {
	if v.Has(key + "yaml") {
		return mappingForm{YAML: lineEnds(v.Get(key + "yaml"))}, true
	}
	if !v.Has(key + "target") {
		return m, false
	}
	m = mappingForm{
		Target: v.Get(key + "target"), Operator: v.Get(key + "operator"), List: v.Get(key+"list") != "", Each: trimmed(v.Get(key + "each")),
		Source: v.Get(key + "source"), Value: lineEnds(v.Get(key + "value")), Default: trimmed(v.Get(key + "default")),
		TimesFrom: v.Get(key + "times_from"), Times: trimmed(v.Get(key + "times")), Min: trimmed(v.Get(key + "min")), Max: trimmed(v.Get(key + "max")),
		Round: v.Get(key + "round"), Signed: v.Get(key+"signed") != "", When: readConditions(v, key+"when."),
	}
	switch exact := exactly(v.Get(key + "exact")); {
	case m.Source != fromConstant || strings.HasPrefix(m.Target, onCurrency):
		m.Value = trimmed(m.Value)
	case asBrowsersHave(exact) == m.Value:
		m.Value = exact
	}
	for i := 0; i <= lookupShown; i++ {
		row := key + "lookup." + strconv.Itoa(i) + "."
		if !v.Has(row + "key") {
			break
		}
		m.Lookup = append(m.Lookup, lookupRow{trimmed(v.Get(row + "key")), trimmed(v.Get(row + "value"))})
	}
	return m, true
}

// edit adds and removes rows of the mapping.
func (f *mappingForm) edit(what string, j, k int) bool {
	if f.YAML != "" {
		return false
	}
	if op, ok := strings.CutSuffix(what, "-when"); ok {
		return editConditions(&f.When, op, j, k)
	}
	switch {
	case what == "add-lookup" && len(f.Lookup) < lookupShown:
		f.Lookup = append(f.Lookup, lookupRow{})
	case what == "add-seen": // which needs the sample: see fillSeen
	case what == "remove-lookup" && 0 <= j && j < len(f.Lookup):
		f.Lookup = append(f.Lookup[:j], f.Lookup[j+1:]...)
	default:
		return false
	}
	return true
}

// addRows has the table say of each of these values that it counts as nothing, to be
// filled in. It leaves rows that are there.
func (f *mappingForm) addRows(values []string) {
	for _, value := range values {
		is := func(row lookupRow) bool { return row.Key == value }
		if isPlain(value) && len(f.Lookup) < lookupShown && !slices.ContainsFunc(f.Lookup, is) {
			f.Lookup = append(f.Lookup, lookupRow{value, "0"})
		}
	}
}

// mappingFormOf has a mapping as fields, or as YAML where these do not bring it back.
func mappingFormOf(m webhook.Mapping) mappingForm {
	f := mappingFieldsOf(m)
	if !f.brings(m) {
		return mappingForm{YAML: webhook.FormatMapping(m)}
	}
	return f
}

func mappingFieldsOf(m webhook.Mapping) mappingForm {
	f := mappingForm{
		Target: onCurrency + m.Currency, Operator: string(m.Operator), List: m.Each != "", Each: m.Each,
		Times: m.Value.Times, Min: m.Value.Min, Max: m.Value.Max, Round: string(m.Value.Round), Signed: m.Value.Signed,
	}
	if m.Field != "" {
		f.Target = onField + m.Field
	}
	f.Source, f.Value = placeOf(m.Value.Path, m.Value.Header)
	if m.Value.Constant != nil {
		f.Source, f.Value = fromConstant, *m.Value.Constant
	}
	if by := m.Value.TimesBy; by != nil {
		f.TimesFrom, f.Times = placeOf(by.Path, by.Header)
	}
	if m.Value.Default != nil {
		f.Default = *m.Value.Default
	}
	for _, key := range slices.Sorted(maps.Keys(m.Value.Lookup)) {
		f.Lookup = append(f.Lookup, lookupRow{key, m.Value.Lookup[key]})
	}
	for _, c := range m.When {
		f.When = append(f.When, conditionFormOf(c))
	}
	return f
}

// brings reports whether a browser that sends the fields back brings the same mapping.
func (f mappingForm) brings(m webhook.Mapping) bool {
	texts := []string{f.Each, f.Default, f.Times, f.Min, f.Max}
	if f.Source != fromConstant { // a constant has Exact
		texts = append(texts, f.Value)
	}
	for _, row := range f.Lookup {
		texts = append(texts, row.Key, row.Value)
	}
	if len(f.Lookup) > lookupShown || slices.ContainsFunc(texts, func(text string) bool { return !isPlain(text) }) {
		return false
	}
	back, problems := f.mapping("")
	return problems == nil && webhook.FormatMapping(back) == webhook.FormatMapping(m)
}

// isPlain: a small field of the page brings the text back as it is.
func isPlain(text string) bool {
	return asBrowsersHave(text) == text && !strings.Contains(text, "\n") && trimmed(text) == text
}

// mapping reads the fields. Problems are shown at the field of the whole mapping.
func (f mappingForm) mapping(field string) (m webhook.Mapping, problems webhook.Errors) {
	if f.YAML != "" {
		m, err := webhook.ParseMapping(f.YAML)
		return m, partProblems(field, err)
	}
	if name, ok := strings.CutPrefix(f.Target, onField); ok {
		m.Field = name // it is set: nothing of an amount is shown, and nothing of it counts
	} else {
		m.Currency, m.Operator = strings.TrimPrefix(f.Target, onCurrency), webhook.Operator(f.Operator)
		m.Value = webhook.Value{Times: f.Times, Min: f.Min, Max: f.Max, Round: webhook.Round(f.Round), Signed: f.Signed}
		if f.TimesFrom != "" && f.Times != "" {
			m.Value.Times, m.Value.TimesBy = "", sourceOf(f.TimesFrom, f.Times)
		}
		if m.Each = f.Each; f.List && f.Each == "" {
			problems = append(problems, &webhook.Error{Field: field + ".each", Message: "the list is missing; pick a value of one of its lines in the sample"})
		}
	}
	if f.Source == fromConstant {
		m.Value.Constant = &f.Value
	} else {
		at := sourceOf(f.Source, f.Value)
		m.Value.Path, m.Value.Header = at.Path, at.Header
	}
	if f.Default != "" {
		m.Value.Default = &f.Default
	}
	m.Value.Lookup, problems = f.lookup(field, problems)
	for i, c := range f.When {
		condition, err := c.condition()
		problems = append(problems, partProblems(fmt.Sprintf("%s.when[%d]", field, i), err)...)
		m.When = append(m.When, condition)
	}
	return m, problems
}

// placeOf says where a value is: path or header, and which.
func placeOf(path, header string) (from, name string) {
	if header != "" {
		return retryHeader, header
	}
	return fromPath, path
}

// sourceOf is the inverse of placeOf.
func sourceOf(from, text string) *webhook.Source {
	if from == retryHeader {
		return &webhook.Source{Header: textproto.CanonicalMIMEHeaderKey(text)}
	}
	return &webhook.Source{Path: text}
}

// lookup reads the table. Empty rows do not count.
func (f mappingForm) lookup(field string, problems webhook.Errors) (map[string]string, webhook.Errors) {
	var lookup map[string]string
	for _, row := range f.Lookup {
		if row == (lookupRow{}) {
			continue
		}
		if _, twice := lookup[row.Key]; twice {
			problems = append(problems, &webhook.Error{Field: field + ".value.lookup", Message: fmt.Sprintf("%q stands twice in the table; remove one of its rows", row.Key)})
		}
		if lookup == nil {
			lookup = map[string]string{}
		}
		lookup[row.Key] = row.Value
	}
	return lookup, problems
}

// Exact is a value that no field brings back as it is, in a form that one does. It
// goes along, and holds as long as nobody changes the field.
func (f mappingForm) Exact() string {
	if asBrowsersHave(f.Value) == f.Value {
		return ""
	}
	quoted, err := json.Marshal(f.Value)
	if err != nil {
		return ""
	}
	return string(quoted)
}

// exactly reads what Exact wrote.
func exactly(quoted string) (text string) {
	if quoted == "" || json.Unmarshal([]byte(quoted), &text) != nil {
		return ""
	}
	return text
}

// HasParts: it has some of what most mappings do without.
func (f mappingForm) HasParts() bool {
	return f.List || len(f.Lookup) > 0 || len(f.When) > 0 || f.Default+f.Min+f.Max != ""
}

// Rows is how many lines the YAML needs.
func (f mappingForm) Rows() int { return strings.Count(f.YAML, "\n") + 2 }

// IsField: it is about a custom field, which is set.
func (f mappingForm) IsField() bool { return strings.HasPrefix(f.Target, onField) }

// MultiLine: only a large field keeps the ends of its lines.
func (f mappingForm) MultiLine() bool { return strings.ContainsAny(f.Value, "\r\n") }
