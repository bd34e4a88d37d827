package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// The time each layer gets to stop; together less than the 10 s that the whole
// stack has. PostgreSQL gets what the others leave of the total.
const (
	servicesStopWithin = 5 * time.Second
	natsStopWithin     = 1500 * time.Millisecond
	stopWithin         = 9500 * time.Millisecond
)

// Stop ends everything within 10 s: the services, which drain, then the broker,
// then PostgreSQL. Parts that do not end in time are killed, all of them at
// once when ctx ends. The error names them.
func (s *Stack) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { s.stopErr = s.stop(ctx) })
	return s.stopErr
}

func (s *Stack) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	// Nobody new should come while the parts go.
	errs := []error{s.remove("dev.env")}

	var services []string
	for _, name := range s.Names() {
		// A service cannot drain into a broker that is paused.
		s.Resume(name) // one that is down needs none
		if name != NATS && name != Postgres {
			services = append(services, name)
		}
	}
	errs = append(errs,
		s.stopLayer(ctx, servicesStopWithin, services...),
		s.stopLayer(ctx, natsStopWithin, NATS),
		s.stopLayer(ctx, stopWithin, Postgres),
	)
	s.supervisor.Close()
	if s.throwAway {
		errs = append(errs, s.removeData())
	}
	// Last: with the lock, the folder is somebody else's.
	errs = append(errs, unlock(s.lock))
	return errors.Join(errs...)
}

func (s *Stack) stopLayer(ctx context.Context, within time.Duration, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var stops []func() error
	for _, name := range names {
		if _, err := s.part(name); err == nil {
			stops = append(stops, func() error { return s.StopPart(ctx, name) })
		}
	}
	return process.InParallel(stops...)
}

func (s *Stack) removeData() error {
	var errs []error
	if s.cluster != nil {
		// It is elsewhere when PostgreSQL's user cannot reach the folder.
		errs = append(errs, os.RemoveAll(s.cluster.Dir()))
	}
	if err := errors.Join(append(errs, os.RemoveAll(s.dir))...); err != nil {
		return fmt.Errorf("remove the throw-away folder: %w", err)
	}
	return nil
}
