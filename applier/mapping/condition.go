package mapping

import (
	"slices"
	"strings"

	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// firstUnmet gives the first condition that does not hold, or nil.
func firstUnmet(when []webhook.CompiledCondition, in *scope) *webhook.CompiledCondition {
	for i := range when {
		if !holds(&when[i], in) {
			return &when[i]
		}
	}
	return nil
}

// holds reports whether a condition holds. An absent value equals nothing.
func holds(c *webhook.CompiledCondition, in *scope) bool {
	if len(c.Any) > 0 {
		return anyHolds(c.Any, in)
	}
	if c.Slot != webhook.NoSlot {
		v := in.values[c.Slot]
		scalar := v.scalar()
		return meets(c, v, func(want webhook.Scalar) bool { return !scalar.IsZero() && scalar.Equal(want) })
	}
	text, ok := in.headers(c.Header)
	if !ok {
		return meets(c, value{}, func(webhook.Scalar) bool { return false })
	}
	// A header is text: 5 and "5" in a definition mean the same for it.
	return meets(c, textValue(text), func(want webhook.Scalar) bool { return text == want.Text() })
}

func anyHolds(alternatives []webhook.CompiledCondition, in *scope) bool {
	for i := range alternatives {
		if holds(&alternatives[i], in) {
			return true
		}
	}
	return false
}

func meets(c *webhook.CompiledCondition, v value, equals func(want webhook.Scalar) bool) bool {
	switch t := &c.Test; {
	case t.Exists != nil:
		return v.present() == *t.Exists
	case !t.Equals.IsZero():
		return equals(t.Equals)
	case !t.NotEquals.IsZero():
		return !equals(t.NotEquals)
	case len(t.In) > 0:
		return slices.ContainsFunc(t.In, equals)
	case t.StartsWith != "" || t.EndsWith != "" || t.Contains != "":
		return v.kind == jsontext.KindString && hasText(t, v.text())
	default:
		return compares(t, c.Number, v)
	}
}

func hasText(t *webhook.Condition, text string) bool {
	switch {
	case t.StartsWith != "":
		return strings.HasPrefix(text, t.StartsWith)
	case t.EndsWith != "":
		return strings.HasSuffix(text, t.EndsWith)
	default:
		return strings.Contains(text, t.Contains)
	}
}

// compares holds a number, or a string that is one, against that of a condition.
func compares(t *webhook.Condition, limit webhook.Number, v value) bool {
	if v.kind != jsontext.KindNumber && v.kind != jsontext.KindString {
		return false
	}
	number, ok := webhook.ParseNumber(v.scalarText())
	if !ok {
		return false
	}
	order := number.Compare(limit)
	switch {
	case t.GreaterThan != "":
		return order > 0
	case t.AtLeast != "":
		return order >= 0
	case t.LessThan != "":
		return order < 0
	default:
		return order <= 0
	}
}
