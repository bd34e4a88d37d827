package broker

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// The numbers of proto/deliverypb/delivery.proto.
const (
	batchDeliveries protowire.Number = 1

	deliveryID         protowire.Number = 1
	deliveryWebhookID  protowire.Number = 2
	deliveryRevision   protowire.Number = 3
	deliveryReceivedAt protowire.Number = 4
	deliveryHeaders    protowire.Number = 5
	deliveryBody       protowire.Number = 6
	deliveryReplay     protowire.Number = 7
	deliveryFirst      protowire.Number = 8
	deliverySlot       protowire.Number = 9
	deliveryMAC        protowire.Number = 10
	deliveryMethod     protowire.Number = 11
	deliveryQuery      protowire.Number = 12

	headerName  protowire.Number = 1
	headerValue protowire.Number = 2
)

// maxFraming is the most that a delivery takes in a message apart from head, body and
// MAC: a tag and a length.
const maxFraming = 8

var errNotUTF8 = errors.New("the delivery holds text that is not UTF-8: no reader could decode its message")

// encoded is a delivery as its message will carry it. The senders encode, each its
// own, and the publisher puts them together. The fields that each delivery has are
// written by hand: generated messages would be an object for it and for each header.
type encoded struct {
	id     delivery.ID
	replay *delivery.Replay
	slot   int
	format int    // the least that its message must have
	signed int    // the format that mac is for
	head   []byte // all fields before the body, which is the last but the MAC
	body   []byte
	mac    []byte // the field with the MAC, empty without keys

	macMemory [macFieldSize]byte
}

// encode uses the memory of the head that was there before.
func (e *encoded) encode(d *delivery.Delivery) error {
	*e = encoded{id: d.ID, replay: d.Replay, slot: d.InSlot(), format: leastFormat(d), head: e.head[:0], body: d.Body}
	b := appendText(e.head, deliveryID, string(d.ID[:]))
	b = appendText(b, deliveryWebhookID, d.WebhookID)
	b = appendNumber(b, deliveryRevision, d.Revision)
	b = appendNumber(b, deliveryReceivedAt, uint64(d.ReceivedAt.UnixMicro())) // as int64 is encoded
	b = appendText(b, deliveryMethod, d.Method)
	b = appendText(b, deliveryQuery, d.Query)
	valid := utf8.ValidString(d.WebhookID) && utf8.ValidString(d.Method)
	for _, h := range d.Headers {
		b = protowire.AppendTag(b, deliveryHeaders, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(sizeOfText(headerName, h.Name)+sizeOfText(headerValue, h.Value))) // a size
		b = appendText(b, headerName, h.Name)
		b = appendText(b, headerValue, h.Value)
		valid = valid && utf8.ValidString(h.Name) && utf8.ValidString(h.Value)
	}
	if !valid {
		return errNotUTF8
	}
	b = appendNumber(b, deliverySlot, uint64(slotToProto(d.Slot)))
	var err error
	if d.Replay != nil {
		b, err = appendMessage(b, deliveryReplay, replayToProto(d.Replay))
	}
	if d.First != nil && err == nil {
		b, err = appendMessage(b, deliveryFirst, placeToProto(d.First))
	}
	if len(d.Body) > 0 {
		b = protowire.AppendTag(b, deliveryBody, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(d.Body)))
	}
	e.head = b
	return err
}

// size is what the delivery adds to its message, at most.
func (e *encoded) size() int { return len(e.head) + len(e.body) + len(e.mac) + maxFraming }

// appendTo writes the delivery behind those that the message holds already.
func (e *encoded) appendTo(message []byte) []byte {
	message = protowire.AppendTag(message, batchDeliveries, protowire.BytesType)
	message = protowire.AppendVarint(message, uint64(len(e.head)+len(e.body)+len(e.mac)))
	message = append(message, e.head...)
	message = append(message, e.body...)
	return append(message, e.mac...)
}

// Empty fields are left out, as Protocol Buffers have it.

func sizeOfText(field protowire.Number, text string) int {
	if text == "" {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(text))
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func appendMessage(b []byte, field protowire.Number, m proto.Message) ([]byte, error) {
	data, err := proto.Marshal(m)
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), data), err
}
