package pg

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Where collects the conditions of a list.
type Where struct {
	Conditions []string
	Args       []any
}

// Add appends a condition; its question marks stand for the arguments.
func (w *Where) Add(condition string, args ...any) {
	for _, arg := range args {
		condition = strings.Replace(condition, "?", w.Param(arg), 1)
	}
	w.Conditions = append(w.Conditions, condition)
}

// Param appends an argument and returns its parameter.
func (w *Where) Param(arg any) string {
	w.Args = append(w.Args, arg)
	return fmt.Sprintf("$%d", len(w.Args))
}

// Narrow adds a condition with one argument, unless that is zero.
func (w *Where) Narrow(condition string, arg any) {
	switch v := arg.(type) {
	case delivery.ID:
		if v == (delivery.ID{}) {
			return
		}
		arg = v.String()
	case time.Time:
		if v.IsZero() {
			return
		}
	default:
		if reflect.ValueOf(arg).IsZero() {
			return
		}
	}
	w.Add(condition, arg)
}

// Page returns the conditions, the order and the limit of a list.
func (w *Where) Page(order string, limit int) string {
	return w.String() + " ORDER BY " + order + " LIMIT " + w.Param(limit)
}

// ReceivedIn narrows to deliveries that were received from a time on and before another
// one; zero ones do not. Ids begin with the millisecond, so their index is used.
func (w *Where) ReceivedIn(id, receivedAt string, since, until time.Time) {
	if !since.IsZero() {
		w.Add(id+" >= ?", FirstIDAt(since).String())
		w.Add(receivedAt+" >= ?", since)
	}
	if !until.IsZero() {
		w.Add(id+" < ?", FirstIDAt(until.Add(time.Millisecond)).String())
		w.Add(receivedAt+" < ?", until)
	}
}

func (w *Where) String() string {
	if len(w.Conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.Conditions, " AND ")
}
