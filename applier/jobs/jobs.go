// Package jobs runs the background work of appliers: the loop that runs a job again
// and again. The packages below it are the jobs.
package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
)

// Job is done by the applier that has the lead, or by each applier if it has no Lead.
type Job struct {
	// Store and Lead say which applier does the job; both are left out if each does.
	Store *postgres.Store
	Lead  postgres.Job
	// Turn does a part of the job, and says how long to rest afterwards, even if it
	// failed. lead is nil if the job has none.
	Turn func(ctx context.Context, lead *postgres.Lead) (pause time.Duration, err error)
	// Every is how often an applier without the lead tries to get it, and the
	// shortest rest after a failure.
	Every time.Duration
	// Wanted reports whether there is something to do. While there is nothing, the
	// lead is given up. nil: there always is.
	Wanted func() bool
	// Resigned is called when the lead is given up, and when there was none.
	Resigned func()
	// Behind reports whether settling is behind. Then the job gives way, see giveWay.
	Behind func(context.Context) bool
	// What completes the sentence "cannot …, trying again".
	What string
	Log  zerolog.Logger
}

// Run makes passes until ctx is done. After an error it gives up the lead: another
// applier may reach what this one cannot.
func (j Job) Run(ctx context.Context) error {
	var lead *postgres.Lead
	resign := func() {
		if j.Resigned != nil {
			j.Resigned()
		}
		if lead != nil {
			lead.Close()
			lead = nil
		}
	}
	defer resign()
	complained := false
	for ctx.Err() == nil {
		pause, err := j.Every, error(nil)
		isWanted := j.Wanted == nil || j.Wanted()
		if isWanted {
			pause, err = j.turn(ctx, &lead)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil || !isWanted {
			resign()
			if err != nil && !complained {
				j.Log.Warn().Err(err).Msg("cannot " + j.What + ", trying again")
			}
		}
		complained = err != nil
		j.wait(ctx, lead, j.rest(pause, err))
		if lead != nil {
			giveWay(ctx, j.Behind, func(d time.Duration) { lead.Rest(ctx, d) })
		}
	}
	return nil
}

const (
	// giveWayFor is the longest rest between two passes, so that no job starves under a
	// lasting load.
	giveWayFor = time.Minute
	// askAgain is how often a resting job checks whether settling has caught up.
	askAgain = time.Second
)

// giveWay rests while settling is behind, for a minute at most. A job that does not
// ask never gives way.
func giveWay(ctx context.Context, behind func(context.Context) bool, rest func(time.Duration)) {
	if behind == nil {
		return
	}
	for start := time.Now(); time.Since(start) < giveWayFor && ctx.Err() == nil && behind(ctx); {
		rest(askAgain)
	}
}

// wait rests, with the lead or without.
func (j Job) wait(ctx context.Context, lead *postgres.Lead, d time.Duration) {
	if lead != nil {
		lead.Rest(ctx, d)
		return
	}
	_ = Sleep(ctx, d) // the loop asks ctx
}

// Sleep waits. It returns why ctx is done if it is by then.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// OpenStream returns the broker's stream once the broker answers. One that is open stays.
func OpenStream(ctx context.Context, conn *broker.Conn, open *broker.Stream) (*broker.Stream, error) {
	if open != nil {
		return open, nil
	}
	if err := conn.WaitConnected(ctx); err != nil {
		return nil, err
	}
	return conn.OpenStream(ctx)
}

// rest returns the pause after a pass. A pass that takes long to fail is not repeated
// more often than one that takes as long to succeed.
func (j Job) rest(pause time.Duration, err error) time.Duration {
	if err != nil {
		return max(pause, j.Every)
	}
	return pause
}

func (j Job) turn(ctx context.Context, lead **postgres.Lead) (pause time.Duration, err error) {
	if j.Lead == 0 {
		return j.Turn(ctx, nil)
	}
	if *lead == nil {
		if *lead, err = j.Store.Lead(ctx, j.Lead); *lead == nil {
			return j.Every, err
		}
		j.Log.Debug().Msg("this applier has the lead to " + j.What)
	}
	if err := (*lead).Check(ctx); err != nil {
		return 0, err
	}
	return j.keeping(ctx, *lead)
}

// keeping makes a pass and keeps the lead meanwhile. It cancels the pass if the lead is
// lost, because another applier may do the same work.
func (j Job) keeping(ctx context.Context, lead *postgres.Lead) (pause time.Duration, err error) {
	turn, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() {
		// Not with the turn's context: the end of a turn must not interrupt a check.
		if err := lead.Keep(ctx, done); err != nil {
			cancel(err)
		}
	})
	pause, err = j.Turn(turn, lead)
	close(done)
	keeper.Wait()
	if lost := context.Cause(turn); lost != nil {
		err = lost
	}
	return pause, err
}
