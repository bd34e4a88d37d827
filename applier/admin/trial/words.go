package trial

import (
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Text is what a definition makes of a delivery, in a line for people.
func (e Effect) Text() string {
	var parts []string
	for _, c := range e.Changes {
		sign := "+"
		if c.Operator == "subtract" {
			sign = "-"
		}
		parts = append(parts, fmt.Sprintf("%s %s%s", c.Currency, sign, c.Amount))
	}
	if fields := admin.FieldsText(e.Fields); fields != "" {
		parts = append(parts, fields)
	}
	text := strings.Join(parts, ", ")
	switch {
	case e.Reason != nil && text == "":
		return string(*e.Reason)
	case e.Reason != nil:
		text += ", " + string(*e.Reason)
	case *e.Outcome != delivery.Applied:
		return string(*e.Outcome)
	case text == "":
		text = "nothing"
	}
	return e.User.Name() + ": " + text
}
