package postgres

import (
	"fmt"
	"strings"
)

// where collects the conditions of a list.
type where struct {
	conditions []string
	args       []any
}

// add appends a condition; its question marks stand for the arguments.
func (w *where) add(condition string, args ...any) {
	for _, arg := range args {
		w.args = append(w.args, arg)
		condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(w.args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}
