// Package sealed opens encrypted bodies, and makes them to test a sender.
package sealed

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	cbcIV    = aes.BlockSize
	gcmNonce = 12
	gcmTag   = 16
)

func ivLength(mode webhook.Encryption) int {
	if mode == webhook.GCM {
		return gcmNonce
	}
	return cbcIV
}

// ErrDecrypt is the only error for a body that cannot be opened. The exact cause would
// help an attacker who tries bodies more than an admin.
var ErrDecrypt = errors.New("the body cannot be decrypted")

// Key is an AES-256 key ready for one mode.
type Key struct {
	mode  webhook.Encryption
	block cipher.Block
	aead  cipher.AEAD
}

// NewKey prepares a key.
func NewKey(mode webhook.Encryption, key secret.AESKey) (Key, error) {
	if !mode.IsOn() {
		return Key{}, fmt.Errorf("prepare an AES key: %q is not a mode", mode)
	}
	block, err := aes.NewCipher([]byte(key.Reveal()))
	if err != nil {
		return Key{}, fmt.Errorf("prepare an AES key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return Key{}, fmt.Errorf("prepare an AES key: %w", err)
	}
	return Key{mode: mode, block: block, aead: aead}, nil
}

// openAs decrypts a body with the first of the keys that opens it. The error is
// ErrDecrypt. isPayload recognizes a payload.
//
// GCM says by itself whether key, reading and bytes are right. CBC does not: of
// all wrong keys one in 256 gives a padding that looks right, and so does a bit
// that was changed before the last two blocks. The result must therefore be a payload,
// too: with CBC, bytes of another form count as not decrypted.
func openAs(isPayload func([]byte) bool, body []byte, keys []Key) ([]byte, error) {
	var readings [2][]box
	for _, k := range keys {
		mode := 0
		if k.mode == webhook.GCM {
			mode = 1
		}
		if readings[mode] == nil {
			readings[mode] = read(body, k.mode)
		}
		for _, b := range readings[mode] {
			if payload, ok := k.open(b, isPayload); ok {
				return payload, nil
			}
		}
	}
	return nil, ErrDecrypt
}

func (k Key) open(b box, isPayload func([]byte) bool) ([]byte, bool) {
	if k.mode == webhook.GCM {
		payload, err := k.aead.Open(nil, b.iv, b.data, nil)
		return payload, err == nil
	}
	plain := make([]byte, len(b.data))
	cipher.NewCBCDecrypter(k.block, b.iv).CryptBlocks(plain, b.data)
	payload, ok := unpad(plain)
	return payload, ok && utf8.Valid(payload) && isPayload(payload)
}

// isForm reports whether text may be a form: those have no control characters, of which
// nearly all texts have some that a wrong key gives.
func isForm(payload []byte) bool {
	return !bytes.ContainsFunc(payload, unicode.IsControl)
}

// unpad takes the PKCS#7 padding off: n bytes of value n, from 1 to a block.
// Its time does not depend on the padding.
func unpad(plain []byte) ([]byte, bool) {
	last := plain[len(plain)-aes.BlockSize:]
	n := int(last[aes.BlockSize-1])
	good := subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, aes.BlockSize)
	for i, c := range last {
		inPadding := subtle.ConstantTimeLessOrEq(aes.BlockSize-i, n)
		good &= subtle.ConstantTimeSelect(inPadding, subtle.ConstantTimeByteEq(c, byte(n)), 1)
	}
	if good != 1 {
		return nil, false
	}
	return plain[:len(plain)-n], true
}
