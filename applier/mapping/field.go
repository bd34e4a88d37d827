package mapping

import (
	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// fieldText gives the text that a mapping sets a custom field to: that of a
// string as it is, that of any other scalar as the payload wrote it.
func fieldText(m *webhook.CompiledMapping, values []value, f applier.Field) (string, *delivery.Failure) {
	if m.Slot == webhook.NoSlot {
		if err := f.Check(m.ConstantText); err != nil {
			return "", fail(delivery.InvalidFieldValue, "", "The constant %v.", err)
		}
		return m.ConstantText, nil
	}
	path, v := m.Path.Text(), values[m.Slot]
	switch {
	case !v.present():
		return "", missing(delivery.MissingField, path, v)
	case v.kind == jsontext.KindBeginObject || v.kind == jsontext.KindBeginArray:
		return "", fail(delivery.InvalidFieldValue, path, "The value at %s is %s, which no custom field takes.", path, v.kindName())
	}
	text := v.scalarText()
	if err := f.Check(text); err != nil {
		return "", fail(delivery.InvalidFieldValue, path, "The value at %s, %s, %v.", path, v.kindName(), err)
	}
	return text, nil
}
