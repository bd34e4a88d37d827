package broker

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Incarnation returns what tells the stream of deliveries from one of the same
// name that was deleted before. It is empty for a stream that Setup did not
// make.
func (c *Conn) Incarnation(ctx context.Context) (string, error) {
	s, err := c.deliveries(ctx)
	if err != nil {
		return "", fmt.Errorf("read the state of the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	return incarnationOf(s), nil
}

func incarnationOf(s jetstream.Stream) string { return s.CachedInfo().Config.Metadata[incarnationKey] }
