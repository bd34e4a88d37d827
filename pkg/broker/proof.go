package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
)

// A delivery carries a MAC by the program that has put it into the stream. The MAC is
// the last field. It is over the message's format and all bytes before it, as they are
// in the stream: what is decoded is what was signed, also in a newer format. Samples
// carry none, so that nobody can make a delivery of a sample.
// docs/design/decisions/delivery-macs.md says why.

var (
	// deliveryDomain and boundaryDomain keep what is signed for one thing from being
	// taken for another.
	deliveryDomain = []byte("coinhook delivery\x00")
	boundaryDomain = []byte("coinhook boundary\x00")

	formatOne = []byte("1\x00")
)

// macFieldSize is what the field takes: a tag, a length and the MAC.
const macFieldSize = 2 + secret.MACSize

// macField begins the field.
var macField = protowire.AppendVarint(protowire.AppendTag(nil, deliveryMAC, protowire.BytesType), secret.MACSize)

// sign adds the MAC of an encoded delivery, for a message of its own format.
func (e *encoded) sign(keys secret.DeliveryKeys) { e.signFor(keys, e.format) }

// signFor adds the MAC for a message that may be of a higher format than the delivery
// needs, because others in it need that.
func (e *encoded) signFor(keys secret.DeliveryKeys, format int) {
	text := formatOne
	if format > 1 {
		text = append(strconv.AppendInt(nil, int64(format), 10), 0)
	}
	e.mac, e.signed = keys.Sign(append(e.macMemory[:0], macField...), deliveryDomain, text, e.head, e.body), format
}

// proof is what a reader of the stream demands of each delivery. The zero value demands
// nothing.
type proof struct {
	keys secret.DeliveryKeys
	// after is the boundary: messages up to it are from before there were keys, or from
	// before a key that is gone.
	after uint64
}

// decode reads one message, and keeps the deliveries of the slots that are wanted; nil
// wants all. In place of one without proof is one that says so. It has an id of its own:
// the id that it gives may be that of somebody else's delivery.
func (p proof) decode(h nats.Header, data []byte, sequence uint64, stored time.Time, attempt int, wanted func(slot int) bool) []delivery.Delivery {
	if wanted == nil {
		wanted = func(int) bool { return true }
	}
	all, raws, ok := readPlain(data, sequence, stored, attempt, wanted)
	if !ok {
		all, raws = readAny(data, sequence, stored, attempt, wanted)
	}
	format, newer := formatOf(h), isNewer(h)
	for i := range all {
		switch why := p.missing(format, raws[i], &all[i]); {
		case why != "":
			all[i] = unproven(&all[i], why)
		case newer:
			all[i] = envelopeOf(all[i], stored)
		}
	}
	return all
}

// readAny is readPlain for every message.
func readAny(data []byte, sequence uint64, stored time.Time, attempt int, wanted func(slot int) bool) (kept []delivery.Delivery, raws [][]byte) {
	all, rest := decodeBatch(data, sequence, stored, attempt), data
	for i := range all {
		var raw []byte
		if raw, rest = nextDelivery(rest); wanted(all[i].InSlot()) {
			kept, raws = append(kept, all[i]), append(raws, raw)
		}
	}
	return kept, raws
}

// formatOf is what a message says of its format, as it is signed.
func formatOf(h nats.Header) []byte {
	if text := h.Get(formatHeader); text != "" {
		return append([]byte(text), 0)
	}
	return formatOne
}

// nextDelivery returns the bytes of the next delivery of a batch, and what is behind.
func nextDelivery(batch []byte) (raw, rest []byte) {
	for len(batch) > 0 {
		number, kind, n := protowire.ConsumeTag(batch)
		if n < 0 {
			return nil, nil
		}
		size := protowire.ConsumeFieldValue(number, kind, batch[n:])
		if size < 0 {
			return nil, nil
		}
		value := batch[n : n+size]
		batch = batch[n+size:]
		if number == batchDeliveries && kind == protowire.BytesType {
			raw, _ = protowire.ConsumeBytes(value)
			return raw, batch
		}
	}
	return nil, nil
}

// maxAge is how long after it was accepted, or its replay was asked for, a delivery may
// be stored. It takes seconds, plus what clocks differ. Without the limit somebody could
// store an old delivery again once the retention has removed its outcome. A copy that a
// repair makes counts as of its first place.
const maxAge = 24 * time.Hour

// missing says in a sentence which proof a delivery does not have. It is empty if there
// is no need of one, or it is there.
func (p proof) missing(format, raw []byte, d *delivery.Delivery) string {
	if p.keys.IsZero() || d.Position.Sequence <= p.after {
		return ""
	}
	at := len(raw) - macFieldSize
	if at < 0 || !bytes.Equal(raw[at:at+len(macField)], macField) {
		return "It has no MAC: no program that has the DELIVERY_KEY has put it into the stream."
	}
	if !p.keys.Verify(raw[at+len(macField):], deliveryDomain, format, raw[:at]) {
		return "Its MAC is wrong: it is forged, or signed with a key that is not in the DELIVERY_KEY."
	}
	accepted := d.ReceivedAt
	switch {
	case d.Replay != nil:
		accepted = d.Replay.RequestedAt
	case d.First != nil:
		return ""
	}
	if d.StoredAt.Sub(accepted) > maxAge {
		return fmt.Sprintf("It was accepted at %s and stored more than %s later: somebody has put an old message into the stream again.",
			accepted.UTC().Format(time.RFC3339), maxAge)
	}
	return ""
}

// unproven is what becomes of a delivery without proof. It fails.
func unproven(d *delivery.Delivery, why string) delivery.Delivery {
	if d.Malformed != "" {
		u := *d
		u.Unproven = true
		return u
	}
	u := malformed(d.Body, d.Position, d.StoredAt)
	u.WebhookID, u.Slot, u.Headers, u.Method, u.Query = d.WebhookID, d.Slot, d.Headers, d.Method, d.Query
	u.Malformed, u.Unproven = fmt.Sprintf("%s It gives the id %s.", why, d.ID), true
	u.StoredAt, u.Attempt = d.StoredAt, d.Attempt
	return u
}

// proofOf is what is demanded of a stream. Without a boundary that is a MAC from the
// first message on.
func (c *Conn) proofOf(s jetstream.Stream) proof {
	p := proof{keys: c.deliveryKeys}
	p.after, _ = boundaryOf(p.keys, s.CachedInfo().Config.Metadata)
	return p
}

// ErrNoDeliveryKey: what this program publishes would be refused.
var ErrNoDeliveryKey = errors.New(secret.DeliveryKeyVariable + " is not set, and the appliers refuse deliveries that are not signed with it: " +
	"set the one that the other programs have")

// CheckDeliveryKey returns ErrNoDeliveryKey where setup has said that deliveries are
// signed, and this program has no key.
func (c *Conn) CheckDeliveryKey(ctx context.Context) error {
	if !c.deliveryKeys.IsZero() {
		return nil
	}
	s, err := c.deliveries(ctx)
	if err != nil {
		return fmt.Errorf("read the state of the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	if s.CachedInfo().Config.Metadata[boundaryKey] != "" {
		return ErrNoDeliveryKey
	}
	return nil
}
