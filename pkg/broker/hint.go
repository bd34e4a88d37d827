package broker

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// partitionsSubject carries hints without content: something has changed about who
// owns which partition. Appliers look into PostgreSQL then, and once a second anyway.
const partitionsSubject = "coinhook.partitions"

// HintPartitions tells all appliers that partitions can be taken, or should be given
// back. A hint may get lost.
func (c *Conn) HintPartitions() error {
	if err := c.nc.Publish(partitionsSubject, nil); err != nil {
		return fmt.Errorf("send a hint on %s: %w", partitionsSubject, err)
	}
	return nil
}

// OnPartitionsHint calls f after each hint, until stop is called. f must not block.
func (c *Conn) OnPartitionsHint(f func()) (stop func(), err error) {
	sub, err := c.nc.Subscribe(partitionsSubject, func(*nats.Msg) { f() })
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", partitionsSubject, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // it ends with the connection, too
}
