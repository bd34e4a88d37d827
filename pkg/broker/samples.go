package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Samples reads what drafts have captured.
type Samples struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

// OpenSamples opens the stream of samples for reading.
func (c *Conn) OpenSamples(ctx context.Context) (*Samples, error) {
	s, err := c.js.Stream(ctx, samplesStream)
	if err != nil {
		return nil, fmt.Errorf("open the stream %s: %w", samplesStream, notSetUp(err))
	}
	return &Samples{js: c.js, stream: s}, nil
}

// Newest returns the webhook's newest sample; ok is false where there is none.
func (s *Samples) Newest(ctx context.Context, webhookID string) (d delivery.Delivery, ok bool, err error) {
	msg, err := s.stream.GetLastMsgForSubject(ctx, samplesSubjectPrefix+webhookID)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return delivery.Delivery{}, false, nil
	}
	if err != nil {
		return delivery.Delivery{}, false, fmt.Errorf("read the newest sample: %w", err)
	}
	d, ok = newestOf(proof{}.decode(msg.Header, msg.Data, msg.Sequence, msg.Time, 0, nil), webhookID)
	return d, ok, nil
}

// All returns the webhook's samples, the newest first. The stream keeps a few of each.
func (s *Samples) All(ctx context.Context, webhookID string) (all []delivery.Delivery, err error) {
	for next := uint64(1); ; {
		msg, err := s.stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(samplesSubjectPrefix+webhookID))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			slices.Reverse(all)
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the samples: %w", err)
		}
		if d, ok := newestOf(proof{}.decode(msg.Header, msg.Data, msg.Sequence, msg.Time, 0, nil), webhookID); ok {
			all = append(all, d)
		}
		next = msg.Sequence + 1
	}
}

// Wait returns the webhook's newest sample. If there is none, it waits for the first.
func (s *Samples) Wait(ctx context.Context, webhookID string) (delivery.Delivery, error) {
	return follow(ctx, s.js, proof{}, samplesStream, webhookID, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{samplesSubjectPrefix + webhookID},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
	})
}

// Newest walks back from the stream's end, over this many messages at most, to
// the webhook's newest delivery. end is the sequence it started from, for Wait.
func (s *Stream) Newest(ctx context.Context, webhookID string, messages int) (d delivery.Delivery, end uint64, ok bool, err error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return delivery.Delivery{}, 0, false, fmt.Errorf("read the state of the stream: %w", err)
	}
	end = info.State.LastSeq
	for seq := end; seq > 0 && seq >= info.State.FirstSeq && messages > 0; seq, messages = seq-1, messages-1 {
		batch, err := s.Deliveries(ctx, seq)
		if err != nil {
			return delivery.Delivery{}, end, false, err
		}
		if d, ok := newestOf(batch, webhookID); ok {
			return d, end, true, nil
		}
	}
	return delivery.Delivery{}, end, false, nil
}

// Wait returns the webhook's first delivery that is stored after the sequence.
func (s *Stream) Wait(ctx context.Context, webhookID string, after uint64) (delivery.Delivery, error) {
	return follow(ctx, s.js, s.proof, deliveriesStream, webhookID, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   after + 1,
	})
}

// newestOf returns the webhook's last delivery of a message. A message that cannot be read,
// or is of a newer version, is nothing to draw a mapping from.
func newestOf(batch []delivery.Delivery, webhookID string) (delivery.Delivery, bool) {
	for i := len(batch) - 1; i >= 0; i-- {
		if batch[i].WebhookID == webhookID && batch[i].Malformed == "" && !batch[i].Newer {
			return batch[i], true
		}
	}
	return delivery.Delivery{}, false
}

// consumerIdle is when the broker forgets a follower that has gone away.
const consumerIdle = 30 * time.Second

// follow reads a stream, and waits for what is still to come, until it holds a
// delivery of the webhook. The consumer is of this call alone and is not acked:
// nothing is taken from the appliers.
func follow(ctx context.Context, js jetstream.JetStream, p proof, stream, webhookID string, cfg jetstream.OrderedConsumerConfig) (delivery.Delivery, error) {
	cfg.InactiveThreshold = consumerIdle
	consumer, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Consumer, error) { // as watch
		return js.OrderedConsumer(ctx, stream, cfg)
	})
	if err != nil {
		return delivery.Delivery{}, fmt.Errorf("follow the stream %s: %w", stream, notSetUp(err))
	}
	messages, err := consumer.Messages()
	if err != nil {
		return delivery.Delivery{}, fmt.Errorf("follow the stream %s: %w", stream, err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return delivery.Delivery{}, context.Cause(ctx)
		}
		if err != nil {
			return delivery.Delivery{}, fmt.Errorf("follow the stream %s: %w", stream, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return delivery.Delivery{}, fmt.Errorf("follow the stream %s: %w", stream, err)
		}
		if d, ok := newestOf(p.decode(msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp, 0, nil), webhookID); ok {
			return d, nil
		}
	}
}
