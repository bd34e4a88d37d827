package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Incarnation returns what tells the stream of deliveries from one of the same
// name that was deleted before. It is empty for a stream that Setup did not
// make.
func (c *Conn) Incarnation(ctx context.Context) (string, error) {
	s, err := c.deliveries(ctx)
	if err != nil {
		return "", fmt.Errorf("look at the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	return s.CachedInfo().Config.Metadata[incarnationKey], nil
}

// source is the stream that a consumer's messages are from.
type source struct {
	conn        *Conn
	incarnation string
	// created is when the broker's consumer was made, which goes with its stream.
	created time.Time
	// handedOut is the consumer's own count at the newest message.
	handedOut uint64
}

// opened is told the broker's consumer before it is used.
func (s *source) opened(ctx context.Context, info *jetstream.ConsumerInfo) error {
	if s.created.Equal(info.Created) {
		return nil
	}
	if err := s.look(ctx); err != nil {
		return err
	}
	s.created = info.Created
	return nil
}

// of returns the incarnation of the stream that a message is from. A consumer
// counts up; one that counts anew under an open pull was made again, and its
// stream too.
func (s *source) of(ctx context.Context, meta *jetstream.MsgMetadata) (string, error) {
	if meta.Sequence.Consumer <= s.handedOut {
		if err := s.look(ctx); err != nil {
			return "", err
		}
	}
	s.handedOut = meta.Sequence.Consumer
	return s.incarnation, nil
}

func (s *source) look(ctx context.Context) (err error) {
	s.incarnation, err = s.conn.Incarnation(ctx)
	return err
}
