package engine

import (
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// readNewer reads parked deliveries of a newer format from the stream again: the applier
// that parked them could not read their payloads, and this one may. The retention keeps
// their messages. Behind one that is still unreadable nothing can go on.
func (p *partition) readNewer(all []delivery.Delivery) error {
	var stream *broker.Stream
	incarnation := ""
	for i, parked := range all {
		if !parked.Newer {
			continue
		}
		if stream == nil {
			var err error
			if stream, err = p.engine.Conn.OpenStream(p.ctx); err != nil {
				return err
			}
			if incarnation, err = p.engine.Conn.Incarnation(p.ctx); err != nil {
				return err
			}
		}
		if parked.Incarnation != incarnation {
			return nil // another stream has something else at its position
		}
		message, err := stream.Deliveries(p.ctx, parked.Position.Sequence)
		if err != nil {
			return err
		}
		at := parked.Position.Index
		if at >= len(message) || message[at].ID != parked.ID || message[at].Newer {
			return nil
		}
		all[i] = message[at]
		all[i].Incarnation, all[i].Attempt = parked.Incarnation, parked.Attempt
	}
	return nil
}
