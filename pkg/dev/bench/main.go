// Command bench measures Coinhook side by side with a peer, with bare NATS and
// with bare PostgreSQL. Each part runs on a development stack of its own, and
// claims ratios, because absolute figures are the machine's. It also checks that
// everything accepted had its effect once, and fails when it had not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/bench/peer"
	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// partsWithin bounds the whole run of one part, whatever hangs.
const partsWithin = 30 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 2 {
		if found, err := peer.Main(ctx, os.Args[1]); found {
			exitIf(err)
			return
		}
	}
	exitIf(run(ctx, os.Args[1:]))
}

func exitIf(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	bin := flags.String("bin", "bin", "take the programs ingress, applier, coinhook and devstack from `DIR`")
	quick := flags.Bool("quick", false, "a smoke run with one short round, whose figures mean little")
	names := flags.String("part", "", "measure these `PARTS`, separated by commas: "+partNames(false)+"; the usual ones are "+partNames(true))
	jsonFile := flags.String("json", "", "write the figures to `FILE` as JSON, too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is not a flag, see -help", flags.Arg(0))
	}
	chosen, err := choose(*names)
	if err != nil {
		return err
	}
	// The goroutine that keeps the rate blocks its thread.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	r := runner{size: full}
	if *quick {
		r.size = smoke
		r.report.Quick = true
	}
	if r.bin, err = filepath.Abs(*bin); err != nil {
		return fmt.Errorf("-bin: %w", err)
	}
	if err := r.run(ctx, chosen); err != nil {
		return err
	}
	if *jsonFile != "" {
		return r.report.write(*jsonFile)
	}
	return nil
}

// part is one table of the report, or several.
type part struct {
	name string
	// usual parts are measured when none is named.
	usual    bool
	appliers int
	run      func(*bench, context.Context) ([]section, error)
}

var parts = []part{
	{"ingress", false, 2, one((*bench).ingress)},
	{"echo", true, 1, one((*bench).echo)},
	{"drain", true, 1, one((*bench).drain)},
	{"each", false, 1, one((*bench).each)},
	{"mac", false, 1, one((*bench).mac)},
	{"signatures", false, 1, one((*bench).signatures)},
	{"sustained", true, 2, (*bench).sustained},
	{"open", true, 2, one((*bench).open)},
	{"bodies", false, 2, (*bench).bodies},
	{"communities", false, 2, one((*bench).communities)},
	{"quota", false, 4, one((*bench).quota)},
	{"partitions", false, 2, one((*bench).partitions)},
	{"failover", false, 2, one((*bench).failover)},
	{"parked", false, 2, one((*bench).parked)},
	{"idle", true, 1, one((*bench).idle)},
	{"growth", false, 1, one((*bench).growth)},
	{"neighbours", false, 2, one((*bench).neighbours)},
	{"strangers", false, 2, one((*bench).strangers)},
}

// one is for parts of one table.
func one(run func(*bench, context.Context) (section, error)) func(*bench, context.Context) ([]section, error) {
	return func(b *bench, ctx context.Context) ([]section, error) {
		s, err := run(b, ctx)
		return []section{s}, err
	}
}

func partNames(usual bool) string {
	var names []string
	for _, p := range parts {
		if p.usual || !usual {
			names = append(names, p.name)
		}
	}
	return strings.Join(names, ", ")
}

func choose(names string) (chosen []part, err error) {
	if names == "" {
		for _, p := range parts {
			if p.usual {
				chosen = append(chosen, p)
			}
		}
		return chosen, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, p := range parts {
			if p.name == name {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no part %q, but %s", name, partNames(false))
		}
	}
	return chosen, nil
}

// runner runs parts in turn and prints each as it ends.
type runner struct {
	bin    string
	size   size
	report report
}

func (r *runner) run(ctx context.Context, chosen []part) error {
	began := time.Now()
	for i, p := range chosen {
		if err := r.part(ctx, p, i == 0); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	r.report.Seconds = time.Since(began).Seconds()
	fmt.Printf("\nEverything accepted had its effect once. The run took %.0f s.\n", r.report.Seconds)
	return nil
}

func (r *runner) part(ctx context.Context, p part, first bool) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, partsWithin, fmt.Errorf("it took longer than %s", partsWithin))
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
	}()
	b, err := open(ctx, r.bin, r.size, devstack.Options{Appliers: p.appliers})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if first {
		if r.report.Machine, err = b.machine(ctx); err != nil {
			return err
		}
		r.report.printHead(os.Stdout, r.size)
	}
	sections, err := p.run(b, ctx)
	if err != nil {
		return err
	}
	for _, s := range sections {
		s.print(os.Stdout)
		r.report.Sections = append(r.report.Sections, s)
	}
	return nil
}

// size says how much is measured.
type size struct {
	// rounds is how often each side of a comparison takes its turn.
	rounds int
	// measure is how long one turn sends.
	measure time.Duration
	// drained is how many deliveries are settled for one figure.
	drained int
	// grown is how many deliveries the larger database has.
	grown int
	// noise is how many dead letters a neighbour replays, and a 15th of the values
	// of the field that it deletes.
	noise int
	// parked is how many deliveries of a paused webhook wait.
	parked int
}

var (
	full  = size{rounds: 5, measure: 4 * time.Second, drained: 250_000, grown: 20_000_000, noise: 100_000, parked: 1_000_000}
	smoke = size{rounds: 1, measure: time.Second, drained: 10_000, grown: 40_000, noise: 2_000, parked: 10_000}
)
