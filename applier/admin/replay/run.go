package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// window is how many replays may be in flight, so that new deliveries do not wait
	// behind a replay of many.
	window = 1024
	// chunkLetters is how many are published at once. An interrupted run publishes at most
	// as many again; published twice, a replay is still one replay.
	chunkLetters = 256
	// chunksPerSecond is how even a rate is.
	chunksPerSecond = 4

	publishWithin = 10 * time.Second
	// pollEvery is how often the run checks the replays in flight.
	pollEvery = 50 * time.Millisecond
	// parkedEvery is how often the run checks which of them are parked.
	parkedEvery = 250 * time.Millisecond
)

// Options tune a run.
type Options struct {
	// PerSecond bounds how many are replayed; 0 is no bound.
	PerSecond int
	// Progress is called often. It may be nil.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Total     int // of this command
	Published int
	Result    Result
}

// Result is the result of a run, as programs read it.
type Result struct {
	Published  int `json:"published"`
	Applied    int `json:"applied"`
	Duplicates int `json:"duplicates"`
	Skipped    int `json:"skipped"`
	Failed     int `json:"failed"`
	// NoOps were no longer dead letters.
	NoOps int `json:"no_ops"`
	// Pending are published and not executed yet. Parked ones among them wait for their
	// webhooks or users while others go on.
	Pending int `json:"pending"`
	Parked  int `json:"parked"`
}

// Text says it in words.
func (r Result) Text() string {
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{
		{r.Applied, "applied"},
		{r.Duplicates, "duplicates"},
		{r.Skipped, "skipped"},
		{r.Failed, "failed again"},
		{r.NoOps, "were no longer dead letters"},
		{r.Pending - r.Parked, "pending"},
		{r.Parked, "parked: `coinhook deliveries show` says for what they wait"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if len(parts) == 0 {
		return "nothing was executed"
	}
	return strings.Join(parts, ", ")
}

// ErrInterrupted says that the run ended early, between two chunks.
var ErrInterrupted = errors.New("interrupted")

// Run replays the planned dead letters and waits until they are executed or parked. If ctx
// is done before, it ends in good order. Then, or after a crash, the same request continues
// where it stopped.
func (r *Replayer) Run(ctx context.Context, request *Request, plan *Plan, opts Options) (Result, error) {
	if err := planning.Allow(ctx, plan.Communities, admin.Editor); err != nil {
		return Result{}, err
	}
	if !request.isByID() {
		release, err := r.claim(ctx, request, plan)
		if err != nil {
			return Result{}, err
		}
		defer release()
	}
	e := r.newExecution(request, plan, opts)
	err := request.walk(ctx, r.store, plan.run.Position, func(page []letter) error { return e.publishPage(ctx, page) })
	if err == nil && !request.isByID() {
		err = r.store.FinishRun(context.WithoutCancel(ctx), plan.run.ID)
	}
	if err == nil {
		err = e.await(ctx, 0)
	}
	if err == nil {
		err = e.lookAtParked(ctx)
	}
	e.result.Parked = len(e.parked)
	e.result.Pending = len(e.underWay) + len(e.parked)
	if err == nil {
		// Dead letters of the plan that are no longer dead letters.
		e.result.NoOps += max(plan.Selected-e.result.Published, 0)
	} else if ctx.Err() != nil {
		err = ErrInterrupted
	}
	return e.result, err
}

// execution is a run in progress.
type execution struct {
	*Replayer
	request     *Request
	plan        *Plan
	definitions *definitions
	limiter     *rate.Limiter
	chunk       int
	progress    func(Progress)

	// underWay are replays in flight with their deliveries. parked are those that were
	// found parked; they no longer count as in flight.
	underWay, parked map[delivery.ID]delivery.ID
	askedAt          time.Time // for parked ones
	result           Result
}

func (r *Replayer) newExecution(request *Request, plan *Plan, opts Options) *execution {
	e := &execution{
		Replayer: r, request: request, plan: plan,
		definitions: newDefinitions(r.definitions),
		limiter:     rate.NewLimiter(rate.Inf, chunkLetters), chunk: chunkLetters,
		progress: opts.Progress, underWay: map[delivery.ID]delivery.ID{}, parked: map[delivery.ID]delivery.ID{},
	}
	if opts.PerSecond > 0 {
		e.chunk = min(max(opts.PerSecond/chunksPerSecond, 1), chunkLetters)
		e.limiter = rate.NewLimiter(rate.Limit(opts.PerSecond), e.chunk)
	}
	return e
}

func (e *execution) publishPage(ctx context.Context, page []letter) error {
	page, err := e.selected(ctx, page)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(page, e.chunk) {
		if err := e.limiter.WaitN(ctx, len(chunk)); err != nil {
			return err
		}
		if err := e.await(ctx, window-len(chunk)); err != nil {
			return err
		}
		if err := e.publish(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// selected leaves out what the plan did.
func (e *execution) selected(ctx context.Context, page []letter) ([]letter, error) {
	selected := page[:0]
	for _, l := range page {
		gone, err := e.definitions.lacks(ctx, e.request, l.Letter)
		if err != nil {
			return nil, err
		}
		if !gone && !e.request.leavesOut(l.Letter) && !e.request.isUnasked(l.Letter) {
			selected = append(selected, l)
		}
	}
	return selected, nil
}

// publish stores a chunk and records it. It does not stop in the middle, because nobody
// would know which replays were stored.
func (e *execution) publish(ctx context.Context, chunk []letter) error {
	batch := make([]delivery.Delivery, len(chunk))
	for i, l := range chunk {
		revision, err := e.definitions.revision(ctx, l.WebhookID)
		if err != nil {
			return err
		}
		batch[i] = e.request.replayOf(replayID(e.plan.run.ID, l.ID), l.Letter, l.body, revision, time.Now().UTC())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishWithin)
	defer cancel()
	if err := e.publisher.PublishAll(ctx, batch); err != nil {
		return fmt.Errorf("publish replays: %w", err)
	}
	for _, d := range batch {
		e.underWay[d.Replay.ID] = d.ID
	}
	e.result.Published += len(batch)
	e.tell()
	if e.request.isByID() {
		return nil
	}
	return e.store.AdvanceRun(ctx, e.plan.run.ID, len(batch), batch[len(batch)-1].ID)
}

// await waits until at most this many are in flight.
func (e *execution) await(ctx context.Context, atMost int) error {
	for len(e.underWay) > atMost {
		if err := e.poll(ctx); err != nil {
			return err
		}
		if len(e.underWay) <= atMost {
			break
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// poll counts those that have been executed, and finds those that are parked.
func (e *execution) poll(ctx context.Context) error {
	if err := e.countDone(ctx, slices.Collect(maps.Keys(e.underWay)), e.underWay); err != nil {
		return err
	}
	if len(e.underWay) == 0 || time.Since(e.askedAt) < parkedEvery {
		return nil
	}
	e.askedAt = time.Now()
	parked, err := e.store.ParkedReplays(ctx, slices.Collect(maps.Values(e.underWay)))
	if err != nil {
		return err
	}
	for _, r := range parked {
		if _, ok := e.underWay[r.ID]; ok {
			delete(e.underWay, r.ID)
			e.parked[r.ID] = r.DeliveryID
		}
	}
	if len(parked) > 0 {
		e.tell()
	}
	return nil
}

// countDone counts those of some replays that have been executed, and takes them out.
func (e *execution) countDone(ctx context.Context, replays []delivery.ID, from map[delivery.ID]delivery.ID) error {
	deliveries := make([]delivery.ID, len(replays))
	for i, replay := range replays {
		deliveries[i] = from[replay]
	}
	done, err := e.store.Replayed(ctx, deliveries, replays)
	if err != nil {
		return err
	}
	for _, x := range done {
		delete(from, x.ID)
		e.result.count(x)
	}
	if len(done) > 0 {
		e.tell()
	}
	return nil
}

// lookAtParked counts those that were parked and have been executed since.
func (e *execution) lookAtParked(ctx context.Context) error {
	for some := range slices.Chunk(slices.Collect(maps.Keys(e.parked)), window) {
		if err := e.countDone(ctx, some, e.parked); err != nil {
			return err
		}
	}
	return nil
}

func (r *Result) count(x postgres.Execution) {
	switch {
	case !x.Effect:
		r.NoOps++
	case x.Status == delivery.Failed:
		r.Failed++
	case x.Outcome == delivery.Duplicate:
		r.Duplicates++
	case x.Outcome == delivery.Skipped:
		r.Skipped++
	default:
		r.Applied++
	}
}

func (e *execution) tell() {
	if e.progress != nil {
		e.result.Parked = len(e.parked)
		e.progress(Progress{Total: e.plan.Selected, Published: e.result.Published, Result: e.result})
	}
}
