package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MasterKeyVariable is the setting that holds the master key.
const MasterKeyVariable = "COINHOOK_MASTER_KEY"

var (
	// ErrMasterKey is returned for a text that is no master key.
	ErrMasterKey = errors.New("want 32 random bytes in base64, as `openssl rand -base64 32` prints them")
	// ErrNoMasterKey: something sealed was to be read or made without a master key.
	ErrNoMasterKey = errors.New(MasterKeyVariable + " is not set: it seals the webhooks' AES keys, and the applier and coinhook need the same one; " +
		"make it once with `openssl rand -base64 32`")
)

// MasterKey seals what is kept secret at rest. The zero value is no key. It is
// never printed, whatever it is formatted with.
type MasterKey struct {
	aead cipher.AEAD
	id   string
}

const hidden = "[master key]"

// ParseMasterKey reads 32 bytes in base64.
func ParseMasterKey(text string) (MasterKey, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	key, err := encoding.Strict().DecodeString(text)
	if err != nil || len(key) != 32 {
		return MasterKey{}, ErrMasterKey
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return MasterKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return MasterKey{}, err
	}
	sum := sha256.Sum256(append([]byte("coinhook master key id\x00"), key...))
	return MasterKey{aead: aead, id: hex.EncodeToString(sum[:4])}, nil
}

// UnmarshalText is ParseMasterKey, for settings.
func (k *MasterKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParseMasterKey(string(text))
	return err
}

// IsZero reports whether there is no key.
func (k MasterKey) IsZero() bool { return k.aead == nil }

func (k MasterKey) String() string { return hidden }

// Format implements fmt.Formatter for every verb: the others would look into
// the struct.
func (k MasterKey) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) } //nolint:errcheck // as fmt itself does

// MarshalText keeps the key out of JSON.
func (k MasterKey) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// sealedVersion is the first part of a sealed text; the others are the master
// key's id, and nonce, ciphertext and tag in base64url.
const sealedVersion = "v1"

// seal encrypts with AES-256-GCM and a random nonce. What is opened must have
// the same purpose and owner.
func (k MasterKey) seal(purpose, owner string, plain []byte) (string, error) {
	if k.IsZero() {
		return "", ErrNoMasterKey
	}
	box := k.aead.Seal(nil, nil, plain, binding(purpose, owner))
	return strings.Join([]string{sealedVersion, k.id, base64.RawURLEncoding.EncodeToString(box)}, "."), nil
}

func (k MasterKey) open(purpose, owner, sealed string) ([]byte, error) {
	if k.IsZero() {
		return nil, ErrNoMasterKey
	}
	parts := strings.Split(sealed, ".")
	if len(parts) != 3 || parts[0] != sealedVersion {
		return nil, errors.New("the sealed text has a form that this version does not know")
	}
	if parts[1] != k.id {
		return nil, fmt.Errorf("it was sealed under another %s (%.8s, the present one is %s): set that one again", MasterKeyVariable, parts[1], k.id)
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return nil, errors.New("the sealed text is damaged")
	}
	plain, err := k.aead.Open(nil, nil, box, binding(purpose, owner))
	if err != nil {
		return nil, errors.New("the sealed text is damaged, or was sealed for something else")
	}
	return plain, nil
}

// binding is what is authenticated with the secret. Neither part holds a zero
// byte, so that no two pairs give the same.
func binding(purpose, owner string) []byte {
	return []byte("coinhook " + sealedVersion + "\x00" + purpose + "\x00" + owner)
}
