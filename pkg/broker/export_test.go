package broker

import "context"

// LookOnce is one look of a monitor that counts so many messages at most.
func (m *Monitor) LookOnce(ctx context.Context, messages uint64) error {
	m.atOnce = messages
	return m.look(ctx)
}
