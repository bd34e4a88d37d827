package webhook

import (
	"maps"
	"slices"
)

// CompiledCondition is a Condition with its path and numbers parsed.
type CompiledCondition struct {
	// Test is the condition as it was written.
	Test Condition
	CompiledSource
	// Number is that of a comparison.
	Number Number
	Any    []CompiledCondition
}

// CompiledMapping is a Mapping with its paths and numbers parsed.
type CompiledMapping struct {
	// Field is the custom field that is set; a currency's mapping has none.
	Field    string
	Currency string
	Operator Operator
	// Array is the number of the array of each, or NoSlot; EachSlot is the slot of
	// the array itself.
	Array    int
	EachSlot int
	Each     Path
	When     []CompiledCondition
	// The source has neither a slot nor a header for a constant.
	CompiledSource
	Constant     Number
	ConstantText string
	Lookup       *CompiledLookup
	// Default stands in for what is not there; nil does not.
	Default *Entry
	// Times multiplies the value; nil leaves it.
	Times     *Number
	TimesText string
	TimesBy   *CompiledSource
	Min, Max  *Number
	Round     Round
	Signed    bool
}

// Entry is a value that the definition has: a text, and its number for an amount.
type Entry struct {
	Text   string
	Number Number
}

// CompiledLookup finds an Entry by a value.
type CompiledLookup struct {
	texts   map[string]Entry
	numbers map[Number]Entry
}

// Text finds the entry whose key is this text.
func (l *CompiledLookup) Text(text string) (Entry, bool) {
	e, ok := l.texts[text]
	return e, ok
}

// NumberText finds the entry of a number: its key is written alike, or is the same
// number.
func (l *CompiledLookup) NumberText(text string) (Entry, bool) {
	if e, ok := l.texts[text]; ok {
		return e, true
	}
	n, _ := ParseNumber(text)
	e, ok := l.numbers[n]
	return e, ok && n.exact()
}

func compileLookup(lookup map[string]string) *CompiledLookup {
	if lookup == nil {
		return nil
	}
	l := &CompiledLookup{texts: make(map[string]Entry, len(lookup)), numbers: map[Number]Entry{}}
	for _, key := range slices.Sorted(maps.Keys(lookup)) {
		e := entry(lookup[key])
		l.texts[key] = e
		n, isNumber := ParseNumber(key)
		if _, taken := l.numbers[n]; isNumber && n.exact() && !taken {
			l.numbers[n] = e
		}
	}
	return l
}

func entry(text string) Entry {
	number, _ := ParseNumber(text)
	return Entry{Text: text, Number: number}
}

func (c *compiler) when(field string, when []Condition) ([]CompiledCondition, error) {
	var r report
	checkConditions(&r, field, when)
	if err := r.err(); err != nil {
		return nil, err
	}
	var all []CompiledCondition
	for i, condition := range when {
		compiled, err := c.condition(itemField(field, i), condition)
		if err != nil {
			return nil, err
		}
		all = append(all, compiled)
	}
	return all, nil
}

// condition compiles what was checked.
func (c *compiler) condition(field string, condition Condition) (compiled CompiledCondition, err error) {
	compiled.Test = condition
	if len(condition.Any) > 0 {
		compiled.Slot = NoSlot
		for i, one := range condition.Any {
			alternative, err := c.condition(itemField(childField(field, "any"), i), one)
			if err != nil {
				return compiled, err
			}
			compiled.Any = append(compiled.Any, alternative)
		}
		return compiled, nil
	}
	for _, text := range []string{condition.GreaterThan, condition.AtLeast, condition.LessThan, condition.AtMost} {
		if text != "" {
			compiled.Number, _ = ParseNumber(text)
		}
	}
	compiled.CompiledSource, err = c.source(field, Source{Path: condition.Path, Header: condition.Header})
	return compiled, err
}

func (c *compiler) mapping(field string, m Mapping) (CompiledMapping, error) {
	var r report
	checkMapping(&r, field, m, nil, nil)
	if err := r.err(); err != nil {
		return CompiledMapping{}, err
	}
	compiled := CompiledMapping{
		Field: m.Field, Currency: m.Currency, Operator: m.Operator, Array: NoSlot, EachSlot: NoSlot,
		Lookup: compileLookup(m.Value.Lookup), TimesText: m.Value.Times, Times: optionalNumber(m.Value.Times),
		Min: optionalNumber(m.Value.Min), Max: optionalNumber(m.Value.Max), Round: m.Value.Round, Signed: m.Value.Signed,
	}
	if m.Value.Default != nil {
		compiled.Default = new(entry(*m.Value.Default))
	}
	var err error
	if m.Each == "" {
		return compiled, c.mappingPaths(field, m, &compiled)
	}
	var elements *scope
	if compiled.Each, elements, compiled.Array, err = c.elements(childField(field, "each"), m.Each); err != nil {
		return compiled, err
	}
	compiled.EachSlot = c.root.descend(compiled.Each.segments).Slot
	inside := compiler{scope: elements}
	return compiled, inside.mappingPaths(field, m, &compiled)
}

// mappingPaths compiles what a mapping reads, from where its paths start.
func (c *compiler) mappingPaths(field string, m Mapping, compiled *CompiledMapping) (err error) {
	if compiled.When, err = c.when(childField(field, "when"), m.When); err != nil {
		return err
	}
	value := childField(field, "value")
	if m.Value.TimesBy != nil {
		by, err := c.source(childField(value, "times"), *m.Value.TimesBy)
		if err != nil {
			return err
		}
		compiled.TimesBy = &by
	}
	if m.Value.Constant != nil {
		compiled.Slot = NoSlot
		e := entry(*m.Value.Constant)
		compiled.ConstantText, compiled.Constant = e.Text, e.Number
		return nil
	}
	compiled.CompiledSource, err = c.source(value, Source{Path: m.Value.Path, Header: m.Value.Header})
	return err
}

func optionalNumber(text string) *Number {
	if text == "" {
		return nil
	}
	number, _ := ParseNumber(text)
	return &number
}
