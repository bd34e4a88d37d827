package mapping

import (
	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// fieldText gives the text that a mapping sets a custom field to: that of a
// string as it is, that of any other scalar as the payload wrote it.
func fieldText(m *webhook.CompiledMapping, in *scope, f applier.Field) (string, *delivery.Failure) {
	if isConstant(m) {
		if err := f.Check(m.ConstantText); err != nil {
			return "", fail(delivery.InvalidFieldValue, "", "The constant %v.", err)
		}
		return m.ConstantText, nil
	}
	v := in.find(&m.CompiledSource)
	instead, failure := standIn(m, in, v, delivery.InvalidFieldValue)
	if failure != nil {
		return "", failure
	}
	at := in.spot(&m.CompiledSource)
	if instead != nil {
		if err := f.Check(instead.Text); err != nil {
			return "", fail(delivery.InvalidFieldValue, at.path, "The text that the mapping has for the value %s %v.", at.at, err)
		}
		return instead.Text, nil
	}
	if v.kind == jsontext.KindBeginObject || v.kind == jsontext.KindBeginArray {
		return "", fail(delivery.InvalidFieldValue, at.path, "The value %s is %s, which no custom field takes.", at.at, v.kindName())
	}
	text := v.scalarText()
	if err := f.Check(text); err != nil {
		return "", fail(delivery.InvalidFieldValue, at.path, "The value %s, %s, %v.", at.at, v.kindName(), err)
	}
	return text, nil
}
