package broker

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// partitionsSubject carries hints among the appliers. They may get lost. One without
// content says that something has changed about who owns which partition: appliers look
// into PostgreSQL then, and once a second anyway. One with content names a community that
// has deliveries now.
const partitionsSubject = "coinhook.partitions"

// HintPartitions tells all appliers that partitions can be taken, or should be given
// back. A hint may get lost.
func (c *Conn) HintPartitions() error { return c.hint(nil) }

// HintBusy tells all appliers that a community has deliveries now. A hint may get lost.
func (c *Conn) HintBusy(community string) error { return c.hint([]byte(community)) }

func (c *Conn) hint(content []byte) error {
	if err := c.nc.Publish(partitionsSubject, content); err != nil {
		return fmt.Errorf("send a hint on %s: %w", partitionsSubject, err)
	}
	return nil
}

// OnPartitionsHint calls f after each HintPartitions, until stop is called. f must not
// block.
func (c *Conn) OnPartitionsHint(f func()) (stop func(), err error) {
	return c.onHint(func(content []byte) {
		if len(content) == 0 {
			f()
		}
	})
}

// OnBusyHint calls f after each HintBusy, also after this applier's own, until stop is
// called. f must not block.
func (c *Conn) OnBusyHint(f func(community string)) (stop func(), err error) {
	return c.onHint(func(content []byte) {
		if len(content) > 0 {
			f(string(content))
		}
	})
}

func (c *Conn) onHint(f func(content []byte)) (stop func(), err error) {
	sub, err := c.nc.Subscribe(partitionsSubject, func(m *nats.Msg) { f(m.Data) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", partitionsSubject, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // it ends with the connection, too
}
