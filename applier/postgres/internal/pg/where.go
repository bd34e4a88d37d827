package pg

import (
	"fmt"
	"strings"
	"time"
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
