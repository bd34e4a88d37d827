package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

const (
	// warmUp is the time of sending before a fault.
	warmUp = 700 * time.Millisecond
	// the others bound a fault and the way back; more is stuck.
	injectWithin = 90 * time.Second
	healWithin   = 60 * time.Second
	acceptWithin = 45 * time.Second
	settleWithin = 60 * time.Second
)

// Round is what one round shows, and a line of the history.
type Round struct {
	Seed   uint64   `json:"seed"`
	Number int      `json:"round"`
	Kinds  []string `json:"kinds"`
	// Each line of What is a step: what was done, to which parts, how long after
	// the start.
	What  []string  `json:"what"`
	Start time.Time `json:"start"`
	tally
	Stuck    int       `json:"Stuck"`
	Findings []Finding `json:"findings,omitempty"`
	// AcceptPause and SettlePause are the longest times without a 202 and without a
	// delivery that is settled; Slowest is the longest way of one delivery.
	AcceptPause time.Duration `json:"accept_pause"`
	SettlePause time.Duration `json:"settle_pause"`
	Slowest     time.Duration `json:"slowest"`
	Took        time.Duration `json:"took"`
	// Died are parts that ended by themselves.
	Died []string `json:"died,omitempty"`
	// Memory is that of the largest service at the end, in bytes.
	Memory int64 `json:"memory"`
}

// round is a round in progress.
type round struct {
	*world
	rng *rand.Rand
	Round

	mu sync.Mutex
	// after is done once all is healed, such as the repair of what was restored.
	after []func(context.Context) error
	// restart are servers that only a restart heals.
	restart []string
	// free are parts whose disk is full, jumped those whose clock is off.
	free, jumped, paused []string
	// tolerated are kinds of an audit's findings that the fault makes.
	tolerated []string
}

// did notes what is done, for the history.
func (r *round) did(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.What = append(r.What, fmt.Sprintf("%.1fs ", time.Since(r.Start).Seconds())+fmt.Sprintf(format, args...))
}

// pick chooses one of the names.
func (r *round) pick(names []string) string { return names[r.rng.IntN(len(names))] }

// between is a random time.
func (r *round) between(low, high time.Duration) time.Duration {
	return low + time.Duration(r.rng.Int64N(int64(high-low)+1))
}

// hold waits while a fault lasts.
func (r *round) hold(ctx context.Context, low, high time.Duration) error {
	return sleep(ctx, r.between(low, high))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run makes a round of these kinds, which happen at the same time.
func (w *world) run(ctx context.Context, rng *rand.Rand, head Round, kinds []kind) (Round, error) {
	r := &round{world: w, rng: rng, Round: head}
	r.Start = time.Now()
	for _, k := range kinds {
		r.Kinds = append(r.Kinds, k.name)
	}
	watch := watchSettling(ctx, w.db)
	late := fmt.Sprintf("late-%d-%d", r.Seed, r.Number)
	w.traffic.start(ctx)
	defer w.traffic.end()
	if err := sleep(ctx, warmUp); err != nil {
		return r.Round, err
	}
	w.traffic.sendLate(ctx, late)
	if err := r.inject(ctx, kinds); err != nil {
		return r.Round, err
	}
	if err := r.recover(ctx); err != nil {
		return r.Round, err
	}
	end := time.Now()
	requests := w.traffic.end()
	r.AcceptPause = w.traffic.longestPause(r.Start, end)
	r.addLate(ctx, late)
	r.conclude(ctx, requests)
	r.SettlePause = watch.longest(r.Start, end)
	r.Took = time.Since(r.Start)
	return r.Round, ctx.Err()
}

// addLate adds the user whom a request was about before; the late users' job runs
// that request again.
func (r *round) addLate(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, healWithin)
	defer cancel()
	if _, err := r.Coinhook(ctx, "", "users", "add", "--username", name, "--yes"); err != nil {
		r.stuck("a user cannot be added: %v", err)
	}
}

// inject causes the faults and waits until each has lasted its time.
func (r *round) inject(ctx context.Context, kinds []kind) error {
	within, cancel := context.WithTimeout(ctx, injectWithin)
	defer cancel()
	var injections []func() error
	for _, k := range kinds {
		injections = append(injections, func() error { return k.inject(within, r) })
	}
	if err := process.InParallel(injections...); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// A step that could not be done is no fault of the product: the round shows it.
		r.did("not done: %v", err)
	}
	return nil
}

// recover heals all, and waits until every ingress accepts again.
func (r *round) recover(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, healWithin)
	defer cancel()
	if err := r.heal(within); err != nil {
		r.stuck("it does not heal: %v", err)
	}
	healed := time.Now()
	r.did("healed")
	accept, cancel := context.WithTimeout(ctx, acceptWithin)
	defer cancel()
	if err := process.Await(accept, func(context.Context) error { return r.traffic.acceptsSince(healed) }); err != nil {
		r.stuck("%s after the healing: %v", acceptWithin, err)
	}
	for _, after := range r.after {
		if err := after(ctx); err != nil {
			r.stuck("after the healing: %v", err)
		}
	}
	return ctx.Err()
}

func (r *round) stuck(format string, args ...any) {
	r.Stuck++
	r.Findings = append(r.Findings, found("stuck", format, args...))
}

// heal ends all effects of the faults, as an operator would.
func (r *round) heal(ctx context.Context) error {
	r.markDown(r.restart...)
	onTime := func(name string) error { return r.Jump(name, 0) }
	if err := errors.Join(r.Mend(), each(r.free, r.Free), each(r.paused, r.Resume), each(r.jumped, onTime), each(r.restart, r.Kill)); err != nil {
		return err
	}
	if err := r.startDown(ctx); err != nil {
		return err
	}
	err := r.awaitReplicated(ctx, healWithin)
	if _, changed := errors.AsType[*copiesError](err); changed {
		return nil // which the checks say
	}
	return err
}

// startDown starts every part that is down and should not be.
func (r *round) startDown(ctx context.Context) error {
	var start []string
	for _, name := range r.Names() {
		if strings.HasPrefix(name, "applier-") && slices.Index(r.Appliers(), name) >= r.scaled {
			continue
		}
		if r.PID(name) == 0 {
			if !r.down[name] {
				r.Died = append(r.Died, name)
			}
			if name != r.Standby() {
				start = append(start, name)
			}
		}
	}
	// The services need the servers: those come first. In any order it has to work
	// too, but this is what an operator does.
	if err := r.StartPart(ctx, start...); err != nil {
		return err
	}
	if standby := r.Standby(); standby != "" && r.PID(standby) == 0 {
		if err := r.follow(ctx); err != nil {
			return err
		}
		r.did("%s follows %s", standby, r.Primary())
	}
	clear(r.down)
	return r.Ready(ctx, append(r.Ingresses(), r.Appliers()[:r.scaled]...)...)
}

// follow starts the standby again, or makes it one where it was the primary.
func (r *round) follow(ctx context.Context) error {
	if r.Primary() == r.followed && !r.restored {
		if err := errors.Join(r.StartPart(ctx, r.Standby()), r.AwaitStandby(ctx)); err == nil {
			return nil
		}
	}
	r.followed, r.restored = r.Primary(), false
	return r.Rebuild(ctx)
}

// markDown notes that the fault has ended a part.
func (r *round) markDown(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		r.down[name] = true
	}
}

// later notes names for the healing.
func (r *round) later(list *[]string, names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, names...)
}

// kill ends parts as a crash would.
func (r *round) kill(names ...string) error {
	r.markDown(names...)
	r.did("kill -9 %s", strings.Join(names, ", "))
	return each(names, r.Kill)
}

// pause freezes parts until the healing.
func (r *round) pause(names ...string) error {
	r.later(&r.paused, names...)
	r.did("SIGSTOP %s", strings.Join(names, ", "))
	return each(names, r.Pause)
}

// each does it to all the names, also after an error.
func each(names []string, do func(name string) error) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, do(name))
	}
	return errors.Join(errs...)
}

// settle waits until all that the senders were told is done.
func (r *round) settle(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	var last error // before the time was up, which makes errors of its own
	err := process.Await(ctx, func(ctx context.Context) error {
		err := r.settled(ctx, ids)
		if ctx.Err() == nil {
			last = err
		}
		return err
	})
	if err != nil && last != nil {
		return last
	}
	return err
}

func acceptedIDs(requests []*request) (ids []string) {
	for _, q := range requests {
		for _, a := range q.answers {
			if a.id != "" {
				ids = append(ids, a.id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// conclude waits until all is settled, and checks all there is to check.
func (r *round) conclude(ctx context.Context, requests []*request) {
	ids := acceptedIDs(requests)
	if err := r.settle(ctx, ids); err != nil && ctx.Err() == nil {
		r.stuck("not settled %s after the sending ended: %v", settleWithin, err)
	}
	t, findings := r.book.enter(requests)
	e, err := r.read(ctx, ids)
	if err != nil {
		findings = append(findings, found("stuck", "the database cannot be read: %v", err))
	} else {
		findings = append(findings, r.book.check(requests, e, &t)...)
	}
	r.tally = t
	r.Findings = append(r.Findings, findings...)
	r.Slowest = r.slowest(ctx, ids)
	r.checkReplicas(ctx)
	r.checkAudit(ctx)
	r.checkMemory()
}

// checkReplicas wants the streams to have as many copies as there are servers:
// with fewer the next fault would lose what was accepted.
func (r *round) checkReplicas(ctx context.Context) {
	err := r.awaitReplicated(ctx, healWithin)
	if copies, ok := errors.AsType[*copiesError](err); ok {
		r.Findings = append(r.Findings, found("replicas", "%v", copies))
	} else if err != nil && ctx.Err() == nil {
		r.stuck("the copies are not up to date: %v", err)
	}
}

// awaitReplicated waits until all copies are up to date, but not for copies that
// are not wanted any more.
func (r *round) awaitReplicated(ctx context.Context, within time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var copies *copiesError
	err = process.Await(ctx, func(ctx context.Context) error {
		if err := r.replicated(ctx); err == nil || !errors.As(err, &copies) {
			return err
		}
		return nil
	})
	if copies != nil {
		return copies
	}
	return err
}

func (r *round) checkAudit(ctx context.Context) {
	err := r.audit(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	if a, ok := errors.AsType[*auditError](err); ok {
		for _, kind := range r.tolerated {
			delete(a.kinds, kind)
		}
		if len(a.kinds) == 0 {
			return
		}
	}
	r.Findings = append(r.Findings, found("audit", "%v", err))
}

// memoryAllowed is what a service may have on top of twice its size at the start:
// Go's collector gives memory back late.
const memoryAllowed = 128 << 20

func (r *round) checkMemory() {
	for name, size := range r.rss() {
		r.Memory = max(r.Memory, size)
		if start := r.memory[name]; start > 0 && size > 2*start+memoryAllowed {
			r.Findings = append(r.Findings, found("memory", "%s has %d MiB, had %d MiB at the start", name, size>>20, start>>20))
		}
	}
}
