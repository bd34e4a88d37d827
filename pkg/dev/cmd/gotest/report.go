package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is a line of `go test -json`.
type event struct {
	Action, Package, Test, Output string
}

// pkg is a package whose tests run.
type pkg struct {
	output []event         // not printed yet
	done   map[string]bool // tests that passed or were skipped
}

// report prints what `go test` prints of several packages: one line of each, and more
// only of one that fails.
type report struct {
	out      io.Writer
	packages map[string]*pkg
	skipped  map[string][]string // tests by the reason
}

func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(r.out, line)
			} else {
				r.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	if e.Action == "build-output" {
		fmt.Fprint(r.out, e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &pkg{done: map[string]bool{}}
		r.packages[e.Package] = p
	}
	switch {
	case e.Action == "output":
		p.output = append(p.output, e)
	case e.Test != "" && (e.Action == "pass" || e.Action == "skip"):
		p.done[e.Test] = true
		if e.Action == "skip" {
			r.noteSkip(p, e)
		}
	case e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip"):
		r.printPackage(p, e.Action == "fail")
		delete(r.packages, e.Package)
	}
}

// printPackage prints the package's own line, and of one that failed all that its
// failed tests have said.
func (r *report) printPackage(p *pkg, failed bool) {
	for i, e := range p.output {
		switch {
		case e.Test == "" && i == len(p.output)-1:
			fmt.Fprint(r.out, e.Output)
		case failed && !p.done[e.Test] && !strings.HasPrefix(e.Output, "=== "):
			fmt.Fprint(r.out, e.Output)
		}
	}
}

// position is where a test wrote its reason.
var position = regexp.MustCompile(`^\s*\w+\.go:\d+: `)

// noteSkip keeps the reason, which is the last line that the test wrote itself. A body
// that a fuzz test has no use for is left out.
func (r *report) noteSkip(p *pkg, e event) {
	if strings.HasPrefix(e.Test, "Fuzz") {
		return
	}
	reason := "no reason is given"
	for _, o := range p.output {
		if o.Test == e.Test && position.MatchString(o.Output) {
			if text := strings.TrimSpace(position.ReplaceAllString(o.Output, "")); text != "" {
				reason = text
			}
		}
	}
	if r.skipped == nil {
		r.skipped = map[string][]string{}
	}
	r.skipped[reason] = append(r.skipped[reason], e.Test)
}

// named is how many of the tests with one reason have their names printed.
const named = 5

func (r *report) sayWhatWasSkipped() {
	if len(r.skipped) == 0 {
		fmt.Fprintln(r.out, "\nNo test was skipped.")
		return
	}
	fmt.Fprintln(r.out, "\nSKIPPED, so not tested here:")
	for _, reason := range slices.Sorted(maps.Keys(r.skipped)) {
		tests := r.skipped[reason]
		slices.Sort(tests)
		more := ""
		if len(tests) > named {
			more = fmt.Sprintf(" and %d more", len(tests)-named)
			tests = tests[:named]
		}
		fmt.Fprintf(r.out, "- %s\n    %s%s\n", reason, strings.Join(tests, ", "), more)
	}
}
