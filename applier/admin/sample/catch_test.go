package sample_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// shelf is a double of both streams: what is there, and what comes.
type shelf struct {
	there, comes string
	after        uint64
}

func (s *shelf) take() (delivery.Delivery, bool, error) {
	return delivery.Delivery{Body: []byte(s.there)}, s.there != "", nil
}

func (s *shelf) wait(ctx context.Context) (delivery.Delivery, error) {
	if s.comes == "" {
		<-ctx.Done()
		return delivery.Delivery{}, ctx.Err()
	}
	return delivery.Delivery{Body: []byte(s.comes)}, nil
}

type samples struct{ shelf }

func (s *samples) Newest(context.Context, string) (delivery.Delivery, bool, error) { return s.take() }

func (s *samples) All(context.Context, string) ([]delivery.Delivery, error) { return nil, nil }

func (s *samples) Wait(ctx context.Context, _ string) (delivery.Delivery, error) { return s.wait(ctx) }

type stream struct{ shelf }

func (s *stream) Newest(context.Context, string, int) (delivery.Delivery, uint64, bool, error) {
	d, ok, err := s.take()
	return d, 7, ok, err
}

func (s *stream) Wait(ctx context.Context, _ string, after uint64) (delivery.Delivery, error) {
	s.after = after
	return s.wait(ctx)
}

func TestCatch(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		state      webhook.State
		samples    shelf
		stream     shelf
		now, later string // what Newest and Wait give; empty for nothing
	}{
		"a draft's sample":                         {webhook.Draft, shelf{there: "s"}, shelf{there: "d"}, "sample s", "sample s"},
		"a draft's first sample":                   {webhook.Draft, shelf{comes: "s"}, shelf{there: "d"}, "", "sample s"},
		"an active webhook's delivery":             {webhook.Active, shelf{there: "s"}, shelf{there: "d"}, "delivery d", "delivery d"},
		"an active webhook's first delivery":       {webhook.Active, shelf{}, shelf{comes: "d"}, "", "delivery d"},
		"the sample of one just activated":         {webhook.Active, shelf{there: "s"}, shelf{}, "sample s", "sample s"},
		"nothing":                                  {webhook.Active, shelf{}, shelf{}, "", ""},
		"nothing of a draft":                       {webhook.Draft, shelf{}, shelf{there: "d"}, "", ""},
		"a disabled webhook's delivery of earlier": {webhook.Disabled, shelf{}, shelf{there: "d"}, "delivery d", "delivery d"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				in := &stream{tc.stream}
				c := sample.NewCatcher(&samples{tc.samples}, in, plain)
				saved := broker.Saved{Record: webhook.Record{Definition: webhook.Definition{State: tc.state}}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				for want, f := range map[*string]func(context.Context, broker.Saved) (sample.Caught, error){&tc.now: c.Newest, &tc.later: c.Wait} {
					got, err := f(ctx, saved)
					switch {
					case *want == "" && !errors.Is(err, sample.ErrNothing):
						t.Errorf("got %s %q, %v; want nothing", got.Source, got.Payload, err)
					case *want != "" && (err != nil || string(got.Source)+" "+string(got.Payload) != *want):
						t.Errorf("got %s %q, %v; want %s", got.Source, got.Payload, err, *want)
					}
				}
				if in.after != 0 && in.after != 7 {
					t.Errorf("waited from %d, not from where the look back began", in.after)
				}
			})
		})
	}
}

func TestCatchSaysWhyABodyCannotBeOpened(t *testing.T) {
	t.Parallel()
	failure := &delivery.Failure{Reason: delivery.DecryptionFailed, Detail: "No."}
	c := sample.NewCatcher(&samples{shelf{there: "s"}}, &stream{}, func(context.Context, broker.Saved, delivery.Delivery) ([]byte, error) {
		return nil, failure
	})
	_, err := c.Newest(t.Context(), broker.Saved{Record: webhook.Record{Definition: webhook.Definition{State: webhook.Draft}}})
	if got, ok := errors.AsType[*delivery.Failure](err); !ok || got != failure {
		t.Errorf("got %v", err)
	}
}

// plain opens bodies that are not encrypted.
func plain(_ context.Context, _ broker.Saved, d delivery.Delivery) ([]byte, error) {
	return d.Body, nil
}
