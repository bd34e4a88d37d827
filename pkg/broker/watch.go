package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// maxWait is the longest wait for the answer to one request for a watch.
const maxWait = 2 * time.Second

// watch follows keys of a bucket until stop is called or ctx is done.
//
// While servers elect a leader nobody answers the request for a watch, and nobody
// passes it on later. It is made again soon: the services start only once they have
// read the definitions.
func watch(ctx context.Context, bucket jetstream.KeyValue, keys string, opts ...jetstream.WatchOpt) (_ jetstream.KeyWatcher, stop func(), err error) {
	giveUp := time.Now().Add(askFor)
	for wait := answerSoon; ; wait = min(wait+wait/2, maxWait) {
		// The watch ends with its context, which therefore has no deadline.
		attempt, cancel := context.WithCancel(ctx)
		late := time.AfterFunc(wait, cancel)
		w, err := bucket.Watch(attempt, keys, opts...)
		silent := !late.Stop()
		if err == nil && !silent {
			return w, func() {
				w.Stop() // the watch is given up either way
				cancel()
			}, nil
		}
		if err == nil {
			w.Stop() // it came too late
			err = context.DeadlineExceeded
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case !silent:
			return nil, nil, err
		case time.Now().After(giveUp):
			return nil, nil, fmt.Errorf("%w: %w", ErrSilent, context.DeadlineExceeded)
		}
	}
}
