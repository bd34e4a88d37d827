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
	"slices"
	"strings"
)

// MasterKeyVariable is the setting that holds the master key.
const MasterKeyVariable = "COINHOOK_MASTER_KEY"

var (
	// ErrMasterKey is returned for a text that is no master key.
	ErrMasterKey = errors.New("want 32 random bytes in base64, as `openssl rand -base64 32` prints them; " +
		"several are separated by commas, and the first of them seals")
	// ErrNoMasterKey: something sealed was to be read or made without a master key.
	ErrNoMasterKey = errors.New(MasterKeyVariable + " is not set: it seals the webhooks' AES keys, and the applier and coinhook need the same one; " +
		"make it once with `openssl rand -base64 32`")
)

// MasterKey seals what is kept secret at rest. During a rotation it is several keys:
// the first seals, all open. The zero value is no key. It is never printed, whatever
// it is formatted with.
type MasterKey struct {
	sealing sealer
	older   []sealer // open only
}

type sealer struct {
	aead cipher.AEAD
	id   string
}

const hidden = "[master key]"

// ParseMasterKey reads 32 bytes in base64, or several such keys separated by commas.
func ParseMasterKey(text string) (MasterKey, error) {
	var all []sealer
	for part := range strings.SplitSeq(text, ",") {
		s, err := parseSealer(part)
		if err != nil {
			return MasterKey{}, err
		}
		all = append(all, s)
	}
	return MasterKey{sealing: all[0], older: all[1:]}, nil
}

func parseSealer(text string) (sealer, error) {
	key, err := parseKey(text)
	if err != nil || len(key) != 32 {
		return sealer{}, ErrMasterKey
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, err
	}
	sum := sha256.Sum256(append([]byte("coinhook master key id\x00"), key...))
	return sealer{aead: aead, id: hex.EncodeToString(sum[:4])}, nil
}

// Opening returns the key, which opens what the others sealed, too.
func (k MasterKey) Opening(others MasterKey) MasterKey {
	return MasterKey{sealing: k.sealing, older: slices.Concat(k.older, others.all())}
}

// all returns the keys that open.
func (k MasterKey) all() []sealer {
	if k.IsZero() {
		return k.older
	}
	return append([]sealer{k.sealing}, k.older...)
}

// UnmarshalText is ParseMasterKey, for settings.
func (k *MasterKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParseMasterKey(string(text))
	return err
}

// IsZero reports whether there is no key that seals.
func (k MasterKey) IsZero() bool { return k.sealing.aead == nil }

func (k MasterKey) String() string { return hidden }

// Format implements fmt.Formatter for every verb: the others would look into
// the struct.
func (k MasterKey) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) } // as fmt itself does

// MarshalText keeps the key out of JSON.
func (k MasterKey) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// sealedVersion is the first part of a sealed text; the others are the master
// key's id, and nonce, ciphertext and tag in base64url.
const sealedVersion = "v1"

// seal encrypts with AES-256-GCM and a random nonce. To open the text takes the
// same purpose and owner.
func (k MasterKey) seal(purpose, owner string, plain []byte) (string, error) {
	if k.IsZero() {
		return "", ErrNoMasterKey
	}
	box := k.sealing.aead.Seal(nil, nil, plain, binding(purpose, owner))
	return strings.Join([]string{sealedVersion, k.sealing.id, base64.RawURLEncoding.EncodeToString(box)}, "."), nil
}

func (k MasterKey) open(purpose, owner, sealed string) ([]byte, error) {
	keys := k.all()
	if len(keys) == 0 {
		return nil, ErrNoMasterKey
	}
	parts := strings.Split(sealed, ".")
	if len(parts) != 3 || parts[0] != sealedVersion {
		return nil, errors.New("the sealed text has a form that this version does not know")
	}
	i := slices.IndexFunc(keys, func(s sealer) bool { return s.id == parts[1] })
	if i < 0 {
		return nil, fmt.Errorf("it was sealed under another %s (%.8s, the present one is %s): set that one again, or add it behind a comma",
			MasterKeyVariable, parts[1], keys[0].id)
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return nil, errors.New("the sealed text is damaged")
	}
	plain, err := keys[i].aead.Open(nil, nil, box, binding(purpose, owner))
	if err != nil {
		return nil, errors.New("the sealed text is damaged, or was sealed for something else")
	}
	return plain, nil
}

// reseal seals under the present key what another one sealed, and reports whether it
// had to. It opens either way: damage is found while somebody is there.
func (k MasterKey) reseal(purpose, owner, sealed string) (string, bool, error) {
	if k.IsZero() {
		return sealed, false, ErrNoMasterKey
	}
	plain, err := k.open(purpose, owner, sealed)
	if err != nil || strings.HasPrefix(sealed, sealedVersion+"."+k.sealing.id+".") {
		return sealed, false, err
	}
	again, err := k.seal(purpose, owner, plain)
	return again, true, err
}

// binding is what is authenticated with the secret. Neither part holds a zero
// byte, so that no two pairs give the same.
func binding(purpose, owner string) []byte {
	return []byte("coinhook " + sealedVersion + "\x00" + purpose + "\x00" + owner)
}
