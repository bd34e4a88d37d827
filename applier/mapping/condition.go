package mapping

import (
	"slices"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// holds reports whether a condition holds. An absent value equals nothing.
func holds(c *webhook.CompiledCondition, values []value, headers func(name string) (string, bool)) bool {
	var present bool
	var equals func(want webhook.Scalar) bool
	if c.Slot == webhook.NoSlot {
		text, ok := headers(c.Header)
		present = ok
		// A header is text: 5 and "5" in a definition mean the same for it.
		equals = func(want webhook.Scalar) bool { return ok && text == want.Text() }
	} else {
		v := values[c.Slot]
		present = v.present()
		scalar := v.scalar()
		equals = func(want webhook.Scalar) bool { return !scalar.IsZero() && scalar.Equal(want) }
	}
	switch {
	case c.Exists != nil:
		return present == *c.Exists
	case !c.Equals.IsZero():
		return equals(c.Equals)
	case !c.NotEquals.IsZero():
		return !equals(c.NotEquals)
	default:
		return slices.ContainsFunc(c.In, equals)
	}
}
