package broker

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

func placeToProto(p *delivery.Place) *deliverypb.Place {
	return &deliverypb.Place{
		Incarnation: p.Incarnation,
		Sequence:    p.Sequence,
		Index:       uint32(p.Index), // places count from 0
		StoredAtUs:  microseconds(p.StoredAt),
	}
}

func replayToProto(r *delivery.Replay) *deliverypb.Replay {
	return &deliverypb.Replay{
		Id:              r.ID[:],
		Cause:           string(r.Cause),
		RequestedBy:     r.RequestedBy,
		RequestedAtUs:   r.RequestedAt.UnixMicro(),
		Note:            r.Note,
		WebhookRevision: r.Revision,
		WebhookVersion:  uint32(r.Version), // versions count from 1
		Edited:          r.Edited,
	}
}

// A header of a message names the least format that its reader must know. Without
// the header it is format 1. docs/design/decisions/formats.md says when it rises.
const (
	formatHeader  = "Coinhook-Format"
	messageFormat = 2 // the newest that this version reads

	// formatRequest is the format of a request that has a query, or another method than
	// POST. An older applier would read its body alone.
	formatRequest = 2
)

// leastFormat is the format of a message with this delivery.
func leastFormat(d *delivery.Delivery) int {
	if d.Method != "" || d.Query != "" {
		return formatRequest
	}
	return 1
}

// isNewer reports whether this version would misread a message.
func isNewer(h nats.Header) bool {
	text := h.Get(formatHeader)
	format, err := strconv.Atoi(text)
	return text != "" && (err != nil || format > messageFormat)
}

// envelopeOf keeps what every format of a message has.
func envelopeOf(d delivery.Delivery, stored time.Time) delivery.Delivery {
	e := delivery.Delivery{
		ID: d.ID, WebhookID: d.WebhookID, Slot: d.Slot, ReceivedAt: stored.UTC(), Newer: true,
		StoredAt: d.StoredAt, Position: d.Position, Attempt: d.Attempt,
	}
	if d.Replay != nil {
		e.Replay = &delivery.Replay{ID: d.Replay.ID}
	}
	return e
}

// decodeBatch reads one message of the stream. A message that cannot be read becomes a
// malformed delivery, because nothing in the stream may vanish.
//
// The deliveries are counted first. A forged message could hold 500,000 empty ones, and
// each would become a dead letter.
func decodeBatch(data []byte, sequence uint64, stored time.Time, attempt int) []delivery.Delivery {
	var batch deliverypb.DeliveryBatch
	why := ""
	switch {
	case countUpTo(data, maxReadDeliveries+1) > maxReadDeliveries:
		why = fmt.Sprintf("The message has more than %d deliveries.", maxReadDeliveries)
	case proto.Unmarshal(data, &batch) != nil || len(batch.GetDeliveries()) == 0:
		why = "The message is not a batch of deliveries."
	}
	if why != "" {
		d := malformed(data, delivery.Position{Sequence: sequence}, stored)
		d.Malformed, d.StoredAt, d.Attempt = why, stored, attempt
		return []delivery.Delivery{d}
	}
	deliveries := make([]delivery.Delivery, len(batch.GetDeliveries()))
	for i, pb := range batch.GetDeliveries() {
		d := fromProto(pb, delivery.Position{Sequence: sequence, Index: i}, stored)
		d.StoredAt, d.Attempt = stored, attempt
		deliveries[i] = d
	}
	return deliveries
}

// maxReadDeliveries is 16 times what any program puts into a message, so that a later
// version may put in more.
const maxReadDeliveries = 16 * maxBatchDeliveries

// countUpTo counts the deliveries of a batch, but no more than most.
func countUpTo(batch []byte, most int) (n int) {
	for raw, rest := nextDelivery(batch); raw != nil && n < most; raw, rest = nextDelivery(rest) {
		n++
	}
	return n
}

func fromProto(pb *deliverypb.Delivery, at delivery.Position, stored time.Time) delivery.Delivery {
	if len(pb.GetId()) != len(delivery.ID{}) {
		d := malformed(pb.GetBody(), at, stored)
		d.WebhookID, d.Slot = pb.GetWebhookId(), slotFromProto(pb.GetSlot())
		d.Malformed = "The delivery has no id of 16 bytes."
		return d
	}
	if r := pb.GetReplay(); r != nil && len(r.GetId()) != len(delivery.ID{}) {
		d := malformed(pb.GetBody(), at, stored)
		d.WebhookID, d.Slot = pb.GetWebhookId(), slotFromProto(pb.GetSlot())
		d.Malformed = "The replay has no id of 16 bytes."
		return d
	}
	headers := make([]delivery.Header, len(pb.GetHeaders()))
	for i, h := range pb.GetHeaders() {
		headers[i] = delivery.Header{Name: h.GetName(), Value: h.GetValue()}
	}
	return delivery.Delivery{
		ID:         delivery.ID(pb.GetId()),
		WebhookID:  pb.GetWebhookId(),
		Revision:   pb.GetWebhookRevision(),
		ReceivedAt: timeOf(pb.GetReceivedAtUs(), stored),
		Headers:    headers,
		Method:     pb.GetMethod(),
		Query:      string(pb.GetQuery()),
		Body:       pb.GetBody(),
		Replay:     replayFromProto(pb.GetReplay(), stored),
		First:      placeFromProto(pb.GetFirst()),
		Slot:       slotFromProto(pb.GetSlot()),
		Position:   at,
	}
}

func placeFromProto(pb *deliverypb.Place) *delivery.Place {
	if pb == nil {
		return nil
	}
	return &delivery.Place{
		Incarnation: pb.GetIncarnation(),
		Position:    delivery.Position{Sequence: pb.GetSequence(), Index: int(pb.GetIndex())},
		StoredAt:    microTime(pb.GetStoredAtUs()),
	}
}

// microTime is the inverse of microseconds.
func microTime(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return readable(time.UnixMicro(us).UTC(), time.Time{})
}

// timeOf is the time of a message, or when it was stored where no program writes such
// a one: neither the tables nor JSON take it.
func timeOf(us int64, stored time.Time) time.Time {
	return readable(time.UnixMicro(us).UTC(), stored.UTC())
}

func readable(t, otherwise time.Time) time.Time {
	if t.Year() < 1 || t.Year() > 9999 {
		return otherwise
	}
	return t
}

// microseconds is 0 for a time that is not known.
func microseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func replayFromProto(pb *deliverypb.Replay, stored time.Time) *delivery.Replay {
	if pb == nil {
		return nil
	}
	return &delivery.Replay{
		ID:          delivery.ID(pb.GetId()),
		Cause:       delivery.Cause(pb.GetCause()),
		RequestedBy: pb.GetRequestedBy(),
		RequestedAt: timeOf(pb.GetRequestedAtUs(), stored),
		Note:        pb.GetNote(),
		Revision:    pb.GetWebhookRevision(),
		Version:     int(pb.GetWebhookVersion()),
		Edited:      pb.GetEdited(),
	}
}

// malformed gives an unreadable delivery the same id each time it is read: a UUIDv7
// of the time when it was stored, its position and its content.
func malformed(data []byte, at delivery.Position, stored time.Time) delivery.Delivery {
	var id delivery.ID
	h := sha256.New()
	fmt.Fprintf(h, "%d/%d/", at.Sequence, at.Index)
	h.Write(data)
	copy(id[:], h.Sum(nil))
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(stored.UnixMilli()))
	copy(id[:6], ms[2:])
	// Within a millisecond they are in the order of the stream.
	id[6], id[7] = 0x70|byte(at.Sequence>>8)&0x0f, byte(at.Sequence)
	id[8], id[9] = 0x80|byte(at.Index>>8)&0x3f, byte(at.Index)
	return delivery.Delivery{ID: id, ReceivedAt: stored.UTC(), Body: data, Position: at}
}
