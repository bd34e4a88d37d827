package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// side is one that takes its turns: Coinhook, or the peer.
type side struct {
	name string
	host string // where it takes requests
	http string // the process that takes them
	*world
	// db has the product's tables, made by its migrations.
	db *sql.DB
	// own are its processes, which rest while another side has its turn. The
	// servers work for both sides.
	own func() map[string]int
	// shared returns once they have shared what there is to do. Nil where they always
	// have.
	shared  func(context.Context) error
	servers map[string]int
	// sent is what the tables have to have.
	sent *tally
	// waiting are requests for whose effects nobody has waited yet.
	waiting []request
}

// newSide is Coinhook's side with communities of its own.
func (b *bench) newSide(ctx context.Context, name string, communities int) (*side, error) {
	w, err := b.newWorld(ctx, name, communities)
	if err != nil {
		return nil, err
	}
	return b.coinhookSide(w), nil
}

// coinhookSide is the stack with the events of a world.
func (b *bench) coinhookSide(w *world) *side {
	return &side{
		name: "coinhook", host: b.host, http: devstack.Ingress, world: w, db: b.db,
		own: func() map[string]int {
			pids := map[string]int{}
			for _, name := range append([]string{devstack.Ingress}, b.appliers...) {
				if pid := b.stack.PID(name); pid != 0 {
					pids[name] = pid
				}
			}
			return pids
		},
		shared:  b.awaitShares,
		servers: b.servers(), sent: &tally{},
	}
}

// awaitShares waits until the partitions are shared evenly among the appliers.
func (b *bench) awaitShares(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		var all, owned, owners, most, least int
		err := b.db.QueryRowContext(ctx, `
			SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE owner IS NOT NULL), 0), count(owner),
				coalesce(max(n) FILTER (WHERE owner IS NOT NULL), 0), coalesce(min(n) FILTER (WHERE owner IS NOT NULL), 0)
			FROM (
				SELECT CASE WHEN expires_at > clock_timestamp() THEN owner END AS owner, count(*) AS n FROM partitions
				WHERE finished_at IS NULL AND generation = (SELECT min(generation) FROM partitions WHERE finished_at IS NULL)
				GROUP BY 1
			) AS o`).Scan(&all, &owned, &owners, &most, &least)
		if err != nil {
			return false, fmt.Errorf("read who owns the partitions: %w", err)
		}
		running := 0
		for _, name := range b.appliers {
			if b.stack.PID(name) != 0 {
				running++
			}
		}
		return owned == all && owners == min(all, running) && most-least <= 1, nil
	})
}

func (b *bench) servers() map[string]int {
	return map[string]int{devstack.NATS: b.stack.PID(devstack.NATS), devstack.Postgres: b.stack.PID(devstack.Postgres)}
}

// rest stops the side's processes until resume.
func (s *side) rest() error { return s.signal(syscall.SIGSTOP) }

// resume returns once the side settles again: an applier that rested has lost what it
// owned, and a partition that changes hands in the middle of a turn is not what the
// turn measures.
func (s *side) resume(ctx context.Context) error {
	if err := s.signal(syscall.SIGCONT); err != nil {
		return err
	}
	if s.shared != nil {
		if err := s.shared(ctx); err != nil {
			return err
		}
	}
	_, err := s.send(ctx, load{connections: 8, total: 64})
	return err
}

func (s *side) signal(sig syscall.Signal) error {
	var errs []error
	for name, pid := range s.own() {
		if err := syscall.Kill(pid, sig); err != nil {
			errs = append(errs, fmt.Errorf("signal %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// turn is what one turn of a side gave.
type turn struct {
	accepted, applied float64 // a second, while requests were sent
	answered, outcome latency
	// drained is how long after the last request everything had its effect.
	drained time.Duration
	// gap is the longest time without an effect.
	gap time.Duration
	// cpu is in microseconds a delivery, until everything had its effect; memory
	// in MB at the end of sending.
	cpu, memory map[string]float64
}

// turn sends a load and waits until everything has its effect. Each side starts
// with what PostgreSQL has to write written.
func (s *side) turn(ctx context.Context, l load) (t turn, err error) {
	if err := s.resume(ctx); err != nil {
		return t, err
	}
	if _, err := s.db.ExecContext(ctx, "CHECKPOINT"); err != nil {
		return t, fmt.Errorf("CHECKPOINT: %w", err)
	}
	before, err := s.cpu()
	if err != nil {
		return t, err
	}
	sent, err := s.flow(ctx, l)
	if err != nil {
		return t, err
	}
	if t.memory, err = s.memory(); err != nil {
		return t, err
	}
	effects, err := s.settled(ctx, sent)
	if err != nil {
		return t, err
	}
	after, err := s.cpu()
	if err != nil {
		return t, err
	}
	t.cpu = map[string]float64{}
	for name, used := range after {
		t.cpu[name] = float64((used - before[name]).Microseconds()) / float64(len(sent.requests))
	}
	t.add(sent, effects)
	return t, s.rest()
}

// add computes rates and latencies.
func (t *turn) add(sent sending, effects map[string]time.Time) {
	var answered, outcome, at []time.Duration
	applied := 0
	for _, r := range sent.requests {
		effect := effects[r.id]
		answered = append(answered, r.answered.Sub(r.due))
		outcome = append(outcome, effect.Sub(r.due))
		at = append(at, effect.Sub(sent.start))
		if !effect.After(sent.end) {
			applied++
		}
	}
	lasted := sent.end.Sub(sent.start)
	t.accepted = float64(len(sent.requests)) / lasted.Seconds()
	t.applied = float64(applied) / lasted.Seconds()
	t.answered, t.outcome = latencyOf(answered), latencyOf(outcome)
	t.gap, t.drained = longestGap(at), max(slices.Max(at)-lasted, 0)
}

func (s *side) processes() map[string]int {
	pids := maps.Clone(s.own())
	maps.Copy(pids, s.servers)
	return pids
}

func (s *side) cpu() (map[string]time.Duration, error) { return ofEach(s.processes(), cpuOf) }

func (s *side) memory() (map[string]float64, error) { return ofEach(s.processes(), residentMB) }

// peaks is the most that each of the side's own processes had in memory.
func (s *side) peaks() (map[string]float64, error) { return ofEach(s.own(), peakMB) }

// ofEach reads one thing of each process.
func ofEach[T any](pids map[string]int, read func(pid int) (T, error)) (map[string]T, error) {
	all := map[string]T{}
	for name, pid := range pids {
		value, err := read(pid)
		if err != nil {
			return nil, fmt.Errorf("read what %s uses: %w", name, err)
		}
		all[name] = value
	}
	return all, nil
}
