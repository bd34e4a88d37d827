// Package faults runs a campaign of faults against the shape of production:
// senders that remember every answer, one fault after the other, and after each
// a check that everything answered 202 had its effect exactly once.
package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/cluster"
)

// Options say what a campaign does. The same seed makes the same faults in the
// same order.
type Options struct {
	Seed uint64
	// First is the round to begin with, and Rounds how many; 0 is as many as fit in
	// Duration.
	First, Rounds int
	// Duration is when no further round is begun; 0 is never.
	Duration time.Duration
	// Short keeps to the kinds of the short run, Only to those whose names have it.
	Short bool
	Only  string
	// Rate is how many requests a second each ingress gets.
	Rate int
	// BinDir has the programs, of a build with Clock. Dir takes data, logs and the
	// history.
	BinDir, Dir string
	Out         io.Writer
}

// Result is what a campaign has shown.
type Result struct {
	Rounds []Round
	Took   time.Duration
}

// Failed are the rounds that found something.
func (r *Result) Failed() (failed []Round) {
	for _, round := range r.Rounds {
		if len(round.Findings) > 0 {
			failed = append(failed, round)
		}
	}
	return failed
}

// campaign is a campaign in progress.
type campaign struct {
	Options
	kinds   []kind
	world   *world
	history *os.File
	result  Result
	began   time.Time
	made    int // clusters
}

// Run runs a campaign to its end, or until ctx ends.
func Run(ctx context.Context, opts Options) (*Result, error) {
	c := &campaign{Options: opts, kinds: choose(opts)}
	if len(c.kinds) == 0 {
		return nil, fmt.Errorf("no kind of fault has %q in its name", opts.Only)
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if c.history, err = os.OpenFile(filepath.Join(opts.Dir, "history.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	defer c.history.Close()
	c.began = time.Now()
	err = c.rounds(ctx)
	if c.world != nil {
		err = errors.Join(err, c.world.close())
	}
	c.result.Took = time.Since(c.began)
	return &c.result, err
}

func choose(opts Options) []kind {
	return slices.DeleteFunc(kinds(), func(k kind) bool {
		return opts.Short && !k.short || opts.Only != "" && !contains(k.name, opts.Only)
	})
}

func (c *campaign) rounds(ctx context.Context) error {
	for n := c.First; c.Rounds == 0 || n < c.First+c.Rounds; n++ {
		if c.Duration > 0 && time.Since(c.began) > c.Duration {
			return nil
		}
		if err := c.round(ctx, n); err != nil {
			if ctx.Err() != nil {
				return nil // it was asked to end
			}
			return err
		}
	}
	return nil
}

func (c *campaign) round(ctx context.Context, n int) error {
	if err := c.needWorld(ctx); err != nil {
		return err
	}
	chosen := c.draw(n)
	rng := rand.New(rand.NewPCG(c.Seed, uint64(n)))
	round, err := c.world.run(ctx, rng, Round{Seed: c.Seed, Number: n}, chosen)
	if err != nil {
		return err
	}
	if err := c.keep(round); err != nil {
		return err
	}
	if len(round.Findings) > 0 || slices.ContainsFunc(chosen, func(k kind) bool { return k.fresh }) {
		// A fault of this cluster is no finding of the rounds to come.
		return c.closeWorld()
	}
	return nil
}

// keep prints a round and writes it into the history and the table.
func (c *campaign) keep(round Round) error {
	c.result.Rounds = append(c.result.Rounds, round)
	c.result.Took = time.Since(c.began)
	round.print(c.Out)
	line, err := json.Marshal(round)
	if err != nil {
		return err
	}
	if _, err := c.history.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keep the history: %w", err)
	}
	table, err := os.Create(filepath.Join(c.Dir, "table.md"))
	if err != nil {
		return fmt.Errorf("keep the table: %w", err)
	}
	c.result.Table(table)
	return table.Close()
}

// draw chooses a round's kinds by the seed: the kinds come in shuffled decks, so
// that each comes as often as any other, and some rounds have two at a time.
func (c *campaign) draw(n int) []kind {
	deck, place := n/len(c.kinds), n%len(c.kinds)
	rng := rand.New(rand.NewPCG(c.Seed, uint64(deck)<<32))
	order := rng.Perm(len(c.kinds))
	first := c.kinds[order[place]]
	second := slices.DeleteFunc(slices.Clone(c.kinds), func(k kind) bool { return k.lone || k.name == first.name })
	if first.lone || len(second) == 0 || n%2 == 1 {
		return []kind{first}
	}
	rng = rand.New(rand.NewPCG(c.Seed, uint64(n)<<32|1))
	return []kind{first, second[rng.IntN(len(second))]}
}

// The sizes of the file systems of the servers, in MiB.
const (
	natsDisk     = 256
	postgresDisk = 768
)

const appliers = 3

// startsAllowed is how often in a row a cluster may not start, or not be in order
// without a fault.
const startsAllowed = 3

// needWorld starts a cluster unless one runs.
func (c *campaign) needWorld(ctx context.Context) (err error) {
	for range startsAllowed {
		if c.world != nil {
			return nil
		}
		if err = c.openWorld(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(c.Out, "the cluster is given up: %v\n", err)
		if c.world != nil {
			if closeErr := c.closeWorld(); closeErr != nil {
				return errors.Join(err, closeErr)
			}
		}
	}
	return err
}

func (c *campaign) openWorld(ctx context.Context) error {
	c.made++
	dir := filepath.Join(c.Dir, fmt.Sprintf("cluster-%d", c.made))
	fmt.Fprintf(c.Out, "cluster %d: 3 NATS servers, 2 PostgreSQL, 2 ingresses, %d appliers; logs in %s\n", c.made, appliers, filepath.Join(dir, "logs"))
	cl, err := cluster.Start(ctx, cluster.Options{
		Replicas: 3, Ingresses: 2, Appliers: appliers, MoreAppliers: 1, Standby: cluster.Sync,
		BinDir: c.BinDir, Dir: dir, Netns: true, NATSDisk: natsDisk, PostgresDisk: postgresDisk,
		Setup: []string{"--max-bytes", "150000000"},
		// Audit and retention work all the time, and on what is young.
		Env: []string{"LOG_LEVEL=info", "AUDIT_INTERVAL=2s", "STREAM_RETENTION=4m", "HISTORY_RETENTION=6m", "IDEMPOTENCY_RETENTION=10m"},
	})
	if err != nil {
		return fmt.Errorf("start the cluster: %w", err)
	}
	if c.world, err = openWorld(ctx, cl, c.Rate); err != nil {
		return err
	}
	c.world.scaled = appliers
	c.world.traffic.number = int64(c.made) * 1_000_000_000
	return c.calm(ctx)
}

// calm is a round without a fault: what it finds is no fault's doing, and the
// memory after it is what later rounds are measured by.
func (c *campaign) calm(ctx context.Context) error {
	round, err := c.world.run(ctx, rand.New(rand.NewPCG(c.Seed, 0)), Round{Seed: c.Seed, Number: -c.made}, []kind{{
		name: "no fault", inject: func(ctx context.Context, _ *round) error { return sleep(ctx, 2*time.Second) },
	}})
	if err != nil {
		return err
	}
	round.print(c.Out)
	c.world.memory = c.world.rss()
	if len(round.Findings) > 0 {
		return errors.New("a round without a fault has findings: there is nothing to learn from others")
	}
	return nil
}

func (c *campaign) closeWorld() error {
	err := c.world.close()
	c.world = nil
	return err
}
