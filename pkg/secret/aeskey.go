package secret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrAESKey is returned for a text that is no AES key.
var ErrAESKey = errors.New("an AES key is exactly 32 printable ASCII characters")

const (
	aesKeyLength  = 32
	aesKeyLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	aesKeyPurpose = "webhook aes key"
)

// AESKey is the key of a webhook's bodies: 32 characters, used as their bytes.
// Only Reveal returns its text.
type AESKey struct{ text string }

// NewAESKey makes a key of 32 random letters and digits, which is 190 bits.
func NewAESKey() AESKey {
	text := make([]byte, 0, aesKeyLength)
	for len(text) < aesKeyLength {
		var b [64]byte
		rand.Read(b[:]) // documented never to fail
		for _, c := range b {
			// A remainder of all 256 values would favour the first letters.
			if n := int(c & 63); n < len(aesKeyLetters) && len(text) < aesKeyLength {
				text = append(text, aesKeyLetters[n])
			}
		}
	}
	return AESKey{string(text)}
}

// ParseAESKey takes a key that a sender has already.
func ParseAESKey(text string) (AESKey, error) {
	if len(text) != aesKeyLength {
		return AESKey{}, ErrAESKey
	}
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return AESKey{}, ErrAESKey
		}
	}
	return AESKey{text}, nil
}

// weakAESKey is how many different characters a random key is sure to have, one of
// hexadecimal digits, too.
const weakAESKey = 8

// IsWeak reports whether the key has so few different characters that it is hardly
// random.
func (k AESKey) IsWeak() bool {
	different := map[byte]bool{}
	for _, c := range []byte(k.text) {
		different[c] = true
	}
	return !k.IsZero() && len(different) < weakAESKey
}

// Reveal returns the key, to be shown once or given to a cipher.
func (k AESKey) Reveal() string { return k.text }

// IsZero reports whether there is no key.
func (k AESKey) IsZero() bool { return k.text == "" }

func (k AESKey) String() string { return "[AES key]" }

// Format implements fmt.Formatter for every verb: the others would look into
// the struct.
func (k AESKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) } // as fmt itself does

// SealedKey is an AES key as it is kept: readable with the master key only, and
// only as a key of the webhook that it was sealed for.
type SealedKey struct {
	Sealed string `json:"sealed"`
	// Mode is what the key is for, cbc or gcm. While a rotation overlaps, the old
	// key may have another mode than the new one.
	Mode      string    `json:"mode"`
	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is set once the key is replaced.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Seal makes what is kept of a key.
func (k MasterKey) Seal(webhookID string, key AESKey, mode string, now time.Time) (SealedKey, error) {
	sealed, err := k.seal(aesKeyPurpose, webhookID, []byte(key.text))
	if err != nil {
		return SealedKey{}, err
	}
	return SealedKey{Sealed: sealed, Mode: mode, CreatedAt: now}, nil
}

// Unseal returns the key. An error means that this master key is the wrong one,
// or that the sealed text is damaged.
func (k MasterKey) Unseal(webhookID string, sealed SealedKey) (AESKey, error) {
	plain, err := k.open(aesKeyPurpose, webhookID, sealed.Sealed)
	if err != nil {
		return AESKey{}, fmt.Errorf("the AES key of %s cannot be opened: %w", webhookID, err)
	}
	return ParseAESKey(string(plain))
}

// Reseal returns what is kept of a key, sealed under the present master key, and
// reports whether another one had sealed it.
func (k MasterKey) Reseal(webhookID string, sealed SealedKey) (SealedKey, bool, error) {
	text, changed, err := k.reseal(aesKeyPurpose, webhookID, sealed.Sealed)
	if err != nil {
		return sealed, false, fmt.Errorf("the AES key of %s cannot be opened: %w", webhookID, err)
	}
	sealed.Sealed = text
	return sealed, changed, nil
}

// Valid reports whether the key was accepted at that time.
func (k SealedKey) Valid(at time.Time) bool { return k.ExpiresAt == nil || at.Before(*k.ExpiresAt) }
