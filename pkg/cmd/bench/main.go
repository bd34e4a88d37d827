// Command bench measures the ingress and the applier side by side with bare
// NATS and bare PostgreSQL, all in one run on one development stack: what it
// claims are ratios, for absolute figures are the machine's. It also checks
// that everything accepted had its effect once, and fails when it had not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// within bounds a whole run, whatever hangs.
const within = 10 * time.Minute

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	bin := flags.String("bin", "bin", "take the programs ingress, applier, coinhook and devstack from `DIR`")
	quick := flags.Bool("quick", false, "a smoke run of half a minute, whose figures mean little")
	jsonFile := flags.String("json", "", "write the figures to `FILE` as JSON, too")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "bench: see -help")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the run took longer than %s", within))
	defer cancel()

	size := full
	if *quick {
		size = smoke
	}
	if err := measureAll(ctx, *bin, *jsonFile, size); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// measureAll runs the parts in turn and prints each as it ends.
func measureAll(ctx context.Context, bin, jsonFile string, size size) (err error) {
	began := time.Now()
	bin, err = filepath.Abs(bin)
	if err != nil {
		return fmt.Errorf("-bin: %w", err)
	}
	b, err := open(ctx, bin, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	results := report{Quick: size.quick}
	if results.Machine, err = b.machine(ctx); err != nil {
		return err
	}
	results.printMachine(os.Stdout)
	fmt.Println("Comparisons take turns: figures are medians of the rounds, and ratios of the rounds' ratios.")
	for _, part := range []func(context.Context) (section, error){b.ingress, b.drain, b.sustained, b.ceiling} {
		s, err := part(ctx)
		if err != nil {
			return err
		}
		s.print(os.Stdout)
		results.Sections = append(results.Sections, s)
	}
	results.Seconds = time.Since(began).Seconds()
	fmt.Printf("Everything accepted had its effect once. The run took %.0f s.\n", results.Seconds)
	if jsonFile != "" {
		return results.write(jsonFile)
	}
	return nil
}

// size says how much is measured.
type size struct {
	quick bool
	// rounds is how often each side of a comparison takes its turn.
	rounds int
	// measure is how long one closed loop lasts.
	measure time.Duration
	// drained is how many deliveries are settled for one figure.
	drained int
	// sustain is how long one rate is kept up.
	sustain time.Duration
	// flatOut is how long the ceiling is tried.
	flatOut time.Duration
}

var (
	full = size{
		rounds: 3, measure: 2 * time.Second, drained: 60_032,
		sustain: 10 * time.Second, flatOut: 6 * time.Second,
	}
	smoke = size{
		quick: true, rounds: 1, measure: 500 * time.Millisecond, drained: 10_240,
		sustain: 2 * time.Second, flatOut: 2 * time.Second,
	}
)
