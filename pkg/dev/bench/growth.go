package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// metric is one of `go test -bench`, such as "0.97 settle-ratio".
var metric = regexp.MustCompile(`([0-9.e+-]+) ([a-z-]+)-ratio`)

// growth runs the store's own benchmark: two databases on one server, one of them
// with much more history.
func (b *bench) growth(ctx context.Context) (section, error) {
	rows, base := b.size.grown, b.size.grown/40
	s := section{
		Title: fmt.Sprintf("Growth: %s deliveries against %s, 12 rounds in turns", whole(float64(rows)), whole(float64(base))),
		Notes: []string{
			"From BenchmarkGrown of applier/postgres. speed: of the larger database, the smaller one's is 1.",
			"settle: 20 batches of 256. The others are first pages of 50 entries of a history.",
		},
		header: []string{"what", "speed"},
	}
	if err := b.stopAppliers(ctx); err != nil { // they have work of their own
		return s, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "BenchmarkGrown", "-benchtime", "1x", "-timeout", partsWithin.String(),
		"./applier/postgres", "-grown.rows", strconv.Itoa(rows), "-grown.base", strconv.Itoa(base))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("run BenchmarkGrown: %w\n%s", err, out)
	}
	for _, match := range metric.FindAllStringSubmatch(string(out), -1) {
		speed, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			return s, fmt.Errorf("read %q: %w", match[0], err)
		}
		s.row("growth_", match[2]).figure(match[2], speed, ratio)
	}
	if len(s.rows) == 0 {
		return s, fmt.Errorf("BenchmarkGrown printed no ratios:\n%s", out)
	}
	return s, nil
}
