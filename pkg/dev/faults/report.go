package faults

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

func contains(name, part string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(part))
}

// shown is how many findings of a round are printed; the history has them all.
const shown = 8

// print writes a round's line, and what it found.
func (r *Round) print(out io.Writer) {
	fmt.Fprintf(out, "round %d: %s: accepted %d, 503 %d (stored %d), unanswered %d (stored %d), lost %d, twice %d, stuck %d; "+
		"no 202 for %.1f s, nothing settled for %.1f s; took %.1f s\n",
		r.Number, strings.Join(r.Kinds, " + "), r.Accepted, r.Refused, r.Stored, r.Unanswered, r.UnansweredStored, r.Lost, r.Twice, r.Stuck,
		r.AcceptPause.Seconds(), r.SettlePause.Seconds(), r.Took.Seconds())
	if len(r.Findings) > 0 {
		fmt.Fprintf(out, "  what was done: %s\n", strings.Join(r.What, "; "))
	}
	for i, f := range r.Findings {
		if i == shown {
			fmt.Fprintf(out, "  and %d more\n", len(r.Findings)-shown)
			break
		}
		fmt.Fprintf(out, "  FOUND %s: %s\n", f.Kind, f.Detail)
	}
	if len(r.Died) > 0 {
		fmt.Fprintf(out, "  ended by themselves: %s\n", strings.Join(r.Died, ", "))
	}
}

// line is one of the table: all rounds of one kind, or of two at a time.
type line struct {
	kind   string
	rounds int
	tally
	stuck, findings     int
	acceptPause, settle time.Duration
}

func (l *line) add(r Round) {
	l.rounds++
	l.Accepted += r.Accepted
	l.Refused += r.Refused
	l.Stored += r.Stored
	l.Unanswered += r.Unanswered
	l.UnansweredStored += r.UnansweredStored
	l.Lost += r.Lost
	l.Twice += r.Twice
	l.Wrong += r.Wrong
	l.stuck += r.Stuck
	l.findings += len(r.Findings)
	l.acceptPause = max(l.acceptPause, r.AcceptPause)
	l.settle = max(l.settle, r.SettlePause)
}

// twoAtATime is the line of rounds with two faults.
const twoAtATime = "two of these at a time"

// Table writes the campaign's table in Markdown.
func (r *Result) Table(out io.Writer) {
	lines, kinds, faults := map[string]*line{}, map[string]bool{}, 0
	total := &line{kind: "all"}
	for _, round := range r.Rounds {
		name := round.Kinds[0]
		if len(round.Kinds) > 1 {
			name = twoAtATime
		}
		if lines[name] == nil {
			lines[name] = &line{kind: name}
		}
		lines[name].add(round)
		total.add(round)
		faults += len(round.Kinds)
		for _, k := range round.Kinds {
			kinds[k] = true
		}
	}
	fmt.Fprintf(out, "\n%d faults of %d kinds in %d rounds, %s.\n\n", faults, len(kinds), len(r.Rounds), r.Took.Round(time.Second))
	fmt.Fprintln(out, "| fault | rounds | accepted | 503 | unanswered | lost | twice | wrong | stuck | no 202 for | nothing settled for |")
	fmt.Fprintln(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	last := lines[twoAtATime]
	delete(lines, twoAtATime)
	sorted := slices.SortedFunc(maps.Values(lines), func(a, b *line) int { return strings.Compare(a.kind, b.kind) })
	if last != nil {
		sorted = append(sorted, last)
	}
	for _, l := range append(sorted, total) {
		fmt.Fprintf(out, "| %s | %d | %d | %d (%d) | %d (%d) | %d | %d | %d | %d | %.1f s | %.1f s |\n", l.kind, l.rounds, l.Accepted,
			l.Refused, l.Stored, l.Unanswered, l.UnansweredStored, l.Lost, l.Twice, l.Wrong, l.stuck, l.acceptPause.Seconds(), l.settle.Seconds())
	}
	if n := len(r.Failed()); n > 0 {
		fmt.Fprintf(out, "\n%d rounds FOUND something.\n", n)
	}
	if total.Refused > 0 {
		fmt.Fprintf(out, "\nOf the requests answered 503, %.1f %% were stored.\n", 100*float64(total.Stored)/float64(total.Refused))
	}
}
