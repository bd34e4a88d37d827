// Package delivery is the vocabulary of a delivery: what the ingress accepts,
// the applier settles and an admin looks up. It uses the standard library only.
package delivery

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"sync/atomic"
	"time"
)

// Delivery is one accepted request.
type Delivery struct {
	ID        ID
	WebhookID string
	// Revision is that of the definition which authenticated the request.
	Revision   uint64
	ReceivedAt time.Time
	// Slot is that of the webhook's community, 0 if the message does not say it;
	// see InSlot.
	Slot    int
	Headers []Header
	// Method is the request's, empty for POST.
	Method string
	// Query is that of the URL, as it was sent. It may be no UTF-8, and hold secrets.
	Query string
	// Body is what the sender sent, byte for byte.
	Body []byte

	// Replay is set when a dead letter runs again.
	Replay *Replay

	// First is where the delivery was in the stream first, if this is not that
	// message: a repair or a replay has published it again. Of a sender's it is nil.
	First *Place

	// Malformed says what is wrong with a delivery that cannot be read back from
	// the stream. It is empty for all others.
	Malformed string
	// Unproven is set on a malformed delivery whose MAC is missing or wrong. Only WebhookID,
	// Slot, Headers, Method, Query and Body are set, as the message has them, and nothing of
	// it may be trusted.
	Unproven bool

	// Newer is set on a delivery in a format that a newer version of Coinhook wrote
	// and this one would misread. Only ID, WebhookID, ReceivedAt, the ID of a
	// Replay and the broker's facts are set; they do not suffice to decide it.
	Newer bool

	// Position and the fields below are set when the delivery is read from the
	// stream.
	Position Position
	// Incarnation identifies the stream of Position: a stream that was deleted
	// and made again reuses sequences.
	Incarnation string
	// StoredAt is when the broker stored the message, by the broker's clock.
	StoredAt time.Time
	// Attempt counts the tries of the applier that has it: 1 for the first.
	Attempt int
}

// Header is one HTTP header that was kept with a delivery. Name has the
// canonical MIME form.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Header returns the value of the first header with that canonical name.
func (d *Delivery) Header(name string) (string, bool) {
	for _, h := range d.Headers {
		if h.Name == name {
			return h.Value, true
		}
	}
	return "", false
}

// encryptedHeader is how a sender says that a body is encrypted. Its name is canonical.
const encryptedHeader = "X-Encrypted"

// SaysEncrypted reports whether the sender said that the body is encrypted.
func (d *Delivery) SaysEncrypted() bool {
	value, _ := d.Header(encryptedHeader)
	return strings.EqualFold(value, "true")
}

// Position is where a delivery is in the stream. It orders deliveries but does
// not identify them: a restored stream reuses sequences.
type Position struct {
	Sequence uint64
	// Index is the place inside the message, from 0.
	Index int
}

// Place is a Position together with the stream that it is in.
type Place struct {
	Incarnation string
	Position
	// StoredAt is when the broker stored the message, zero if that is not known. A
	// stream that came back from a backup uses sequences again.
	StoredAt time.Time
}

// Compare orders positions as the stream does.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Sequence, q.Sequence), cmp.Compare(p.Index, q.Index))
}

// ID is a UUIDv7. Ids of later deliveries compare greater, to the millisecond.
type ID [16]byte

// lastID is the time of the newest id, in 4096ths of a millisecond.
var lastID atomic.Int64

// NewID makes an id for now. Ids of one process always increase: the 12 bits
// after the milliseconds hold their fraction, or more if that is needed to be
// greater than the previous id. 62 bits are random.
func NewID() ID {
	now := time.Now()
	at := now.UnixMilli()<<12 | int64(now.Nanosecond()%int(time.Millisecond))<<12/int64(time.Millisecond)
	for {
		last := lastID.Load()
		at = max(at, last+1)
		if lastID.CompareAndSwap(last, at) {
			break
		}
	}
	var id ID
	rand.Read(id[8:]) // documented never to fail
	binary.BigEndian.PutUint64(id[:8], uint64(at>>12)<<16|0x7000|uint64(at&0xfff))
	id[8] = 0x80 | id[8]&0x3f
	return id
}

// ErrID is returned for a text that is not a delivery id.
var ErrID = errors.New("not a delivery id: want a UUID such as 01920f4e-7f00-7000-8000-000000000000")

// ParseID reads the usual text form of a UUID.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, ErrID
	}
	compact := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(id[:], []byte(compact)); err != nil {
		return ID{}, ErrID
	}
	return id, nil
}

func (id ID) String() string {
	var b [36]byte
	return string(id.Append(b[:0]))
}

// Append is String for a text that goes on.
func (id ID) Append(text []byte) []byte {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return append(text, b[:]...)
}

// Time is when the id was made, to the millisecond.
func (id ID) Time() time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)) }

// MarshalText makes an ID a string in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}
