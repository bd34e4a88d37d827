// Package secret makes, seals and compares the credentials of senders.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"time"
)

const apiKeyPrefix = "chk_"

// APIKey is what is kept of an API key: enough to recognise it, not enough to
// use it.
type APIKey struct {
	// SHA256 of the key, in hex. A fast hash is right for 256 random bits.
	SHA256    string    `json:"sha256"`
	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is set once the key is replaced.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// NewAPIKey makes a key of 256 random bits. The text is to be shown once.
func NewAPIKey(now time.Time) (text string, key APIKey) {
	var b [32]byte
	rand.Read(b[:]) // documented never to fail
	text = apiKeyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	key = KeyOf(text)
	key.CreatedAt = now
	return text, key
}

// KeyOf is what is kept of a text.
func KeyOf(text string) APIKey {
	sum := sha256.Sum256([]byte(text))
	return APIKey{SHA256: hex.EncodeToString(sum[:])}
}

// Valid reports whether the key is accepted at that time.
func (k APIKey) Valid(now time.Time) bool { return k.ExpiresAt == nil || now.Before(*k.ExpiresAt) }

// Matches reports whether text is one of the keys that are valid now. Its time
// depends on the number of keys only, not on what they or text are.
func Matches(text string, keys []APIKey, now time.Time) bool {
	var room [64]byte // for the text and then a hash, so that neither is allocated
	sum := sha256.Sum256(append(room[:0], text...))
	var encoded [2 * sha256.Size]byte
	hex.Encode(encoded[:], sum[:])
	match := 0
	for _, k := range keys {
		same := subtle.ConstantTimeCompare(encoded[:], append(room[:0], k.SHA256...))
		if k.Valid(now) {
			match |= same
		}
	}
	return match == 1
}
