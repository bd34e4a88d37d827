package pg

import (
	"fmt"
	"strings"
)

// Where collects the conditions of a list.
type Where struct {
	Conditions []string
	Args       []any
}

// Add appends a condition; its question marks stand for the arguments.
func (w *Where) Add(condition string, args ...any) {
	for _, arg := range args {
		w.Args = append(w.Args, arg)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(w.Args)), 1)
	}
	w.Conditions = append(w.Conditions, condition)
}

func (w *Where) String() string {
	if len(w.Conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.Conditions, " AND ")
}
