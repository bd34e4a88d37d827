package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// headersConsumer is how an ingress reads waiting messages: the broker delivers the headers
// of messages through it, never their bodies. All ingresses share it, because one that
// makes consumers may also make one that delivers bodies.
const headersConsumer = "headers"

func headersConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: headersConsumer, Description: "Coinhook: ingresses look how much waits.",
		HeadersOnly: true, DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckNonePolicy,
	}
}

// errShared says that two ingresses used their consumer at the same time.
var errShared = errors.New("other ingresses read at the same time")

// sharedTries is how often an ingress tries to have the consumer for itself. It needs
// it for some milliseconds.
const sharedTries = 5

// sharedHeaders is headers for an ingress. Each reading starts the consumer again, which
// then counts from 1: messages that another one has asked for are missing in between.
func (s *Stream) sharedHeaders(ctx context.Context, from uint64, n int) (all []header, err error) {
	began := uint64(0)
	for range sharedTries {
		if all, err = s.resetAndFetch(ctx, from, n); err == nil && len(all) > 0 {
			first := all[0].sequence
			// Another one may have started it elsewhere. Twice the same is no chance: the
			// messages before are gone.
			if first == from || first == began {
				return all, nil
			}
			began, err = first, errShared
		}
		if err != nil && !errors.Is(err, errShared) {
			return nil, err
		}
	}
	return all, err
}

func (s *Stream) resetAndFetch(ctx context.Context, from uint64, n int) ([]header, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if _, err := s.js.ResetConsumerToSequence(ctx, deliveriesStream, headersConsumer, from); err != nil {
		return nil, notSetUp(err)
	}
	consumer, err := s.stream.Consumer(ctx, headersConsumer)
	if err != nil {
		return nil, notSetUp(err)
	}
	return s.fetchHeaders(ctx, consumer, n)
}

// storedAt returns when a message was stored; ok is false if it is gone.
func (s *Stream) storedAt(ctx context.Context, sequence uint64) (at time.Time, ok bool, err error) {
	if !s.headersOnly {
		m, ok, err := s.Message(ctx, sequence)
		return m.StoredAt, ok, err
	}
	all, err := s.sharedHeaders(ctx, sequence, 1)
	if err != nil || len(all) == 0 || all[0].sequence != sequence {
		return at, false, err
	}
	return all[0].storedAt, true, nil
}

// planHeaders plans the consumer of the ingresses.
func (c *Conn) planHeaders(ctx context.Context, p *Plan) error {
	title, is := "consumer "+headersConsumer, "missing"
	consumer, err := c.js.Consumer(ctx, deliveriesStream, headersConsumer)
	switch {
	case err == nil:
		want, have := headersConfig(), consumer.CachedInfo().Config
		if have.HeadersOnly && have.AckPolicy == want.AckPolicy && have.DeliverPolicy == want.DeliverPolicy {
			return nil
		}
		is = "of another kind"
	case !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("read the %s: %w", title, noLeader(err))
	}
	p.Differences = append(p.Differences, Difference{Where: title, What: "it", Is: is, Should: "there"})
	p.steps = append(p.steps, func(ctx context.Context) error {
		if err := c.deleteConsumer(ctx, headersConsumer); err != nil {
			return err
		}
		if _, err := c.js.CreateConsumer(ctx, deliveriesStream, headersConfig()); err != nil {
			return fmt.Errorf("set up the %s: %w", title, noLeader(err))
		}
		return nil
	})
	return nil
}
