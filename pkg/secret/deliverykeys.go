package secret

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
)

// DeliveryKeyVariable is the setting that holds the keys of deliveries.
const DeliveryKeyVariable = "DELIVERY_KEY"

// ErrDeliveryKeys is returned for a text that holds no keys of deliveries.
var ErrDeliveryKeys = errors.New("want 32 random bytes in base64, as `openssl rand -base64 32` prints them; " +
	"several keys are separated by commas, the first one signs")

// MACSize is the size of a delivery's MAC: the first half of an HMAC-SHA256. RFC 2104
// allows that, and it saves 16 bytes for each delivery in the stream.
const MACSize = sha256.Size / 2

// DeliveryKeys prove who has put a delivery into the stream. The first key signs, and
// all verify. The zero value is no key. Keys are never printed.
type DeliveryKeys struct{ keys []*deliveryKey }

// deliveryKey has states that are ready: to prepare one costs more than a delivery.
type deliveryKey struct {
	bytes  []byte
	states sync.Pool
}

type macState struct {
	hash.Hash
	sum [sha256.Size]byte
}

// ParseDeliveryKeys reads keys of 32 bytes in base64, separated by commas.
func ParseDeliveryKeys(text string) (DeliveryKeys, error) {
	var all DeliveryKeys
	for part := range strings.SplitSeq(text, ",") {
		key, err := parseKey(part)
		if err != nil || len(key) != 32 {
			return DeliveryKeys{}, ErrDeliveryKeys
		}
		for _, other := range all.keys {
			if bytes.Equal(other.bytes, key) {
				return DeliveryKeys{}, errors.New("a key is there twice")
			}
		}
		all.keys = append(all.keys, newDeliveryKey(key))
	}
	return all, nil
}

func newDeliveryKey(key []byte) *deliveryKey {
	k := &deliveryKey{bytes: key}
	k.states.New = func() any { return &macState{Hash: hmac.New(sha256.New, key)} }
	return k
}

// parseKey reads base64 in either alphabet, padded or not.
func parseKey(text string) ([]byte, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	return encoding.Strict().DecodeString(text)
}

// UnmarshalText is ParseDeliveryKeys, for settings.
func (k *DeliveryKeys) UnmarshalText(text []byte) (err error) {
	*k, err = ParseDeliveryKeys(string(text))
	return err
}

// IsZero reports whether there is no key.
func (k DeliveryKeys) IsZero() bool { return len(k.keys) == 0 }

const hiddenDeliveryKeys = "[delivery keys]"

func (k DeliveryKeys) String() string { return hiddenDeliveryKeys }

// Format implements fmt.Formatter for every verb: the others would look into the
// struct.
func (k DeliveryKeys) Format(f fmt.State, _ rune) { io.WriteString(f, hiddenDeliveryKeys) } // as fmt itself does

// MarshalText keeps the keys out of JSON.
func (k DeliveryKeys) MarshalText() ([]byte, error) { return []byte(hiddenDeliveryKeys), nil }

// Sign appends the MAC of the parts to dst, by the first key. The parts are signed as
// one text: the caller makes sure that different lists of parts give different texts.
func (k DeliveryKeys) Sign(dst []byte, parts ...[]byte) []byte {
	s := k.keys[0].sum(parts)
	defer k.keys[0].states.Put(s)
	return append(dst, s.sum[:MACSize]...)
}

// Verify reports whether one of the keys has signed the parts.
func (k DeliveryKeys) Verify(mac []byte, parts ...[]byte) bool {
	for _, key := range k.keys {
		s := key.sum(parts)
		ok := hmac.Equal(mac, s.sum[:MACSize])
		key.states.Put(s)
		if ok {
			return true
		}
	}
	return false
}

func (k *deliveryKey) sum(parts [][]byte) *macState {
	s := k.states.Get().(*macState) // the pool has nothing else
	s.Reset()
	for _, part := range parts {
		s.Write(part) // documented never to fail
	}
	s.Sum(s.sum[:0])
	return s
}
