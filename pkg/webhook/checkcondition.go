package webhook

import (
	"strings"
	"unicode/utf8"
)

func checkWhen(r *report, field string, when []Condition) {
	atMost(r, field, len(when), maxConditions)
	checkConditions(r, field, when)
}

func checkConditions(r *report, field string, when []Condition) {
	for i, c := range when {
		item := itemField(field, i)
		if len(c.Any) == 0 {
			checkCondition(r, item, c)
			continue
		}
		checkAny(r, item, c)
	}
}

func checkAny(r *report, field string, c Condition) {
	if c.Path != "" || c.Header != "" || len(c.tests()) > 0 {
		r.add(field, "a condition is either a test of its own or an any; make two entries of it")
	}
	alternatives := childField(field, "any")
	atMost(r, alternatives, len(c.Any), maxConditions)
	for i, one := range c.Any {
		item := itemField(alternatives, i)
		if len(one.Any) > 0 {
			r.add(item, "an any holds no other any")
			continue
		}
		checkCondition(r, item, one)
	}
}

func checkCondition(r *report, field string, c Condition) {
	switch {
	case (c.Path != "") == (c.Header != ""):
		r.add(field, "a condition has either a path or a header; or it is a list, any, of which one must hold")
	case c.Path != "":
		checkPath(r, childField(field, "path"), c.Path)
	default:
		checkHeader(r, childField(field, "header"), c.Header)
	}
	if len(c.tests()) != 1 {
		r.add(field, "a condition has exactly one of %s, and that is not empty", strings.Join(testNames, ", "))
	}
	atMost(r, childField(field, "in"), len(c.In), maxAlternates)
	for _, part := range [][2]string{
		{"greater_than", c.GreaterThan}, {"at_least", c.AtLeast}, {"less_than", c.LessThan}, {"at_most", c.AtMost},
	} {
		if part[1] != "" {
			checkNumber(r, childField(field, part[0]), part[1])
		}
	}
	for _, part := range [][2]string{{"starts_with", c.StartsWith}, {"ends_with", c.EndsWith}, {"contains", c.Contains}} {
		if n := utf8.RuneCountInString(part[1]); n > maxAffix {
			r.add(childField(field, part[0]), "has %d characters; the limit is %d", n, maxAffix)
		}
	}
}

// testNames are the keys of a condition's tests, in the order of the documentation.
var testNames = []string{
	"equals", "not_equals", "in", "exists", "greater_than", "at_least", "less_than", "at_most", "starts_with", "ends_with", "contains",
}

// tests are the keys of the tests that a condition has.
func (c Condition) tests() (names []string) {
	for i, set := range []bool{
		!c.Equals.IsZero(), !c.NotEquals.IsZero(), len(c.In) > 0, c.Exists != nil, c.GreaterThan != "", c.AtLeast != "",
		c.LessThan != "", c.AtMost != "", c.StartsWith != "", c.EndsWith != "", c.Contains != "",
	} {
		if set {
			names = append(names, testNames[i])
		}
	}
	return names
}
