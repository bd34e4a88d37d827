package mapping

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// skip is the plan of a delivery of which a condition does not hold.
func skip(key *applier.Key, c *webhook.CompiledCondition, in *scope, lead string) applier.Plan {
	path := ""
	if len(c.Any) == 0 {
		path = in.spot(&c.CompiledSource).path
	}
	return applier.Plan{Skip: true, Key: key, Why: &applier.Skipped{Path: path, Detail: lead + unmet(c, in) + "."}}
}

const (
	ofAll  = "A condition does not hold: "
	ofEach = "No mapping's conditions hold. The first that does not: "
)

// noMappingHolds gives the plan of a delivery that no mapping is for, since each has
// conditions of its own. A mapping that goes on, or fails, is one that the delivery is
// for; so is one of an empty array.
func noMappingHolds(program *webhook.Program, all found, in *scope) (*webhook.CompiledCondition, *scope) {
	var first *webhook.CompiledCondition
	var where *scope
	for i := range program.Mappings {
		m := &program.Mappings[i]
		if len(m.When) == 0 {
			return nil, nil
		}
		if m.Array == webhook.NoSlot {
			c := firstUnmet(m.When, in)
			if c == nil {
				return nil, nil
			}
			if first == nil {
				first, where = c, in
			}
			continue
		}
		array := &all.arrays[m.Array]
		if in.values[m.EachSlot].kind != jsontext.KindBeginArray || array.count == 0 || array.count > webhook.MaxElements {
			return nil, nil
		}
		for n := range array.count {
			element := in.element(m, array, n)
			c := firstUnmet(m.When, element)
			if c == nil {
				return nil, nil
			}
			if first == nil {
				first, where = c, element
			}
		}
	}
	return first, where
}

// unmet says which condition does not hold, and what is there instead.
func unmet(c *webhook.CompiledCondition, in *scope) string {
	if len(c.Any) == 0 {
		return place(c, in) + " " + expected(&c.Test, nameOf(&c.CompiledSource)) + ", but it is " + in.inWords(&c.CompiledSource, in.find(&c.CompiledSource))
	}
	parts := make([]string, 0, maxAnyShown)
	for i := range c.Any {
		if i == maxAnyShown {
			parts = append(parts, fmt.Sprintf("%d more", len(c.Any)-i))
			break
		}
		parts = append(parts, unmet(&c.Any[i], in))
	}
	return "any of [" + strings.Join(parts, "; ") + "]"
}

// maxAnyShown is how many conditions of an any are named.
const maxAnyShown = 3

func place(c *webhook.CompiledCondition, in *scope) string {
	if c.Slot == webhook.NoSlot {
		return "the header " + c.Header
	}
	return in.exact(c.Path)
}

// expected is a test as the definition has it, of a value of this name.
func expected(t *webhook.Condition, name string) string {
	switch {
	case t.Exists != nil:
		return "exists " + strconv.FormatBool(*t.Exists)
	case !t.Equals.IsZero():
		return "equals " + scalarInWords(t.Equals, name)
	case !t.NotEquals.IsZero():
		return "not_equals " + scalarInWords(t.NotEquals, name)
	case len(t.In) > 0:
		return "in " + listInWords(t.In, name)
	}
	for _, part := range [][2]string{
		{"greater_than", t.GreaterThan}, {"at_least", t.AtLeast}, {"less_than", t.LessThan}, {"at_most", t.AtMost},
	} {
		if part[1] != "" {
			return part[0] + " " + part[1]
		}
	}
	for _, part := range [][2]string{{"starts_with", t.StartsWith}, {"ends_with", t.EndsWith}, {"contains", t.Contains}} {
		if part[1] != "" {
			return part[0] + " " + shown(name, part[1], true)
		}
	}
	return ""
}

func scalarInWords(s webhook.Scalar, name string) string {
	return shown(name, s.Text(), s.Kind() == webhook.StringScalar)
}

// maxListShown is how many of a list are named.
const maxListShown = 5

func listInWords(all []webhook.Scalar, name string) string {
	parts := make([]string, 0, maxListShown+1)
	for i, s := range all {
		if i == maxListShown {
			parts = append(parts, fmt.Sprintf("%d more", len(all)-i))
			break
		}
		parts = append(parts, scalarInWords(s, name))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
