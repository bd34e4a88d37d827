package broker

import (
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// plain is a delivery as a sender's is encoded: it is no replay, has no first place, and
// no field that this version does not know. It points into its message. Reading one takes
// a tenth of the time that generated messages take, which allocate for each header. With
// keys, most messages are read twice: see Feed.decode.
type plain struct {
	id, webhookID, method, query, body []byte
	revision, receivedAt, slot         uint64
	headers                            []plainHeader
}

type plainHeader struct{ name, value []byte }

// readPlain reads the wanted deliveries of a message, as decodeBatch would, and returns
// the bytes of each, too. ok is false for a message that has any delivery that is not
// plain, or cannot be read: decodeBatch decides what becomes of those.
func readPlain(data []byte, sequence uint64, stored time.Time, attempt int, wanted func(slot int) bool) (all []delivery.Delivery, raws [][]byte, ok bool) {
	n := countUpTo(data, maxReadDeliveries+1)
	if n == 0 || n > maxReadDeliveries {
		return nil, nil, false
	}
	var p plain
	var before delivery.Delivery
	for i := 0; len(data) > 0; i++ {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 || number != batchDeliveries || kind != protowire.BytesType {
			return nil, nil, false
		}
		raw, size := protowire.ConsumeBytes(data[tag:])
		if size < 0 || !p.read(raw) {
			return nil, nil, false
		}
		data = data[tag+size:]
		if !wanted(p.inSlot()) {
			continue
		}
		if all == nil {
			all, raws = make([]delivery.Delivery, 0, n), make([][]byte, 0, n)
		}
		before = p.delivery(stored, &before)
		before.Position = delivery.Position{Sequence: sequence, Index: i}
		before.StoredAt, before.Attempt = stored, attempt
		all, raws = append(all, before), append(raws, raw)
	}
	return all, raws, true
}

// read reports whether raw is a plain delivery. As with Protocol Buffers' own reader, the
// last of several values of a field counts.
func (p *plain) read(raw []byte) bool {
	*p = plain{headers: p.headers[:0]}
	for len(raw) > 0 {
		number, kind, tag := protowire.ConsumeTag(raw)
		if tag < 0 {
			return false
		}
		size, known := -1, false
		switch raw = raw[tag:]; kind {
		case protowire.BytesType:
			var value []byte
			value, size = protowire.ConsumeBytes(raw)
			known = size >= 0 && p.takeBytes(number, value)
		case protowire.VarintType:
			var value uint64
			value, size = protowire.ConsumeVarint(raw)
			known = size >= 0 && p.takeNumber(number, value)
		}
		if !known {
			return false
		}
		raw = raw[size:]
	}
	return len(p.id) == len(delivery.ID{}) && p.slot <= delivery.Slots
}

// takeBytes reports whether a plain delivery has such a field.
func (p *plain) takeBytes(number protowire.Number, value []byte) bool {
	switch number {
	case deliveryID:
		p.id = value
	case deliveryWebhookID:
		p.webhookID = value
		return utf8.Valid(value)
	case deliveryHeaders:
		return p.takeHeader(value)
	case deliveryBody:
		p.body = value
		return len(value) > 0 // no program writes an empty one
	case deliveryMethod:
		p.method = value
		return utf8.Valid(value)
	case deliveryQuery:
		p.query = value
	case deliveryMAC: // over the bytes, which are checked as such
	default:
		return false
	}
	return true
}

func (p *plain) takeNumber(number protowire.Number, value uint64) bool {
	switch number {
	case deliveryRevision:
		p.revision = value
	case deliveryReceivedAt:
		p.receivedAt = value
	case deliverySlot:
		p.slot = value
	default:
		return false
	}
	return true
}

func (p *plain) takeHeader(raw []byte) bool {
	var h plainHeader
	for len(raw) > 0 {
		number, kind, tag := protowire.ConsumeTag(raw)
		if tag < 0 || kind != protowire.BytesType {
			return false
		}
		value, size := protowire.ConsumeBytes(raw[tag:])
		if size < 0 || !utf8.Valid(value) {
			return false
		}
		switch number {
		case headerName:
			h.name = value
		case headerValue:
			h.value = value
		default:
			return false
		}
		raw = raw[tag+size:]
	}
	p.headers = append(p.headers, h)
	return true
}

// inSlot is InSlot of the delivery.
func (p *plain) inSlot() int {
	d := delivery.Delivery{Slot: int(p.slot)} // read has checked it
	if p.slot == 0 {
		d.WebhookID = string(p.webhookID)
	}
	return d.InSlot()
}

// delivery shares its body with the message. Texts that the delivery before has, too, are
// not made again: most deliveries of a message come from one sender.
func (p *plain) delivery(stored time.Time, before *delivery.Delivery) delivery.Delivery {
	d := delivery.Delivery{
		ID:         delivery.ID(p.id),
		WebhookID:  textOf(p.webhookID, before.WebhookID),
		Revision:   p.revision,
		ReceivedAt: timeOf(int64(p.receivedAt), stored), // as int64 is encoded
		Slot:       int(p.slot),                         // read has checked it
		Headers:    make([]delivery.Header, len(p.headers)),
		Method:     textOf(p.method, before.Method),
		Query:      string(p.query),
		Body:       p.body[:len(p.body):len(p.body)],
	}
	for i, h := range p.headers {
		var same delivery.Header
		if i < len(before.Headers) {
			same = before.Headers[i]
		}
		d.Headers[i] = delivery.Header{Name: textOf(h.name, same.Name), Value: textOf(h.value, same.Value)}
	}
	return d
}

func textOf(text []byte, before string) string {
	if string(text) == before {
		return before
	}
	return string(text)
}
