package signature

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/edwards25519"
)

// Secret is one that a webhook has, in the form in which the sender shows it.
type Secret struct {
	Text string
	// Ends is when it is not valid any more; zero: not known. Ended ones never
	// verify: they only explain why a request does not.
	Ends time.Time
}

// maxSecret bounds a secret. A public key in PEM has under 200 bytes.
const maxSecret = 4 << 10

// key is a secret that is ready for one way.
type key struct {
	bytes   []byte            // of an HMAC or a plain hash
	ed25519 ed25519.PublicKey // exactly one of the three is set
	ecdsa   *ecdsa.PublicKey
}

// waysFor returns the ways that a secret is for: those whose prefix it has, or else
// those of the scheme's first prefix.
func (s *Scheme) waysFor(text string) []*way {
	prefix := s.ways[0].SecretPrefix
	for _, w := range s.ways {
		if w.SecretPrefix != "" && strings.HasPrefix(text, w.SecretPrefix) {
			prefix = w.SecretPrefix
		}
	}
	return slices.DeleteFunc(slices.Clone(s.ways), func(w *way) bool { return w.SecretPrefix != prefix })
}

// CheckSecret reports why a text cannot be a secret of this scheme. The error has
// nothing of the text in it.
func (s *Scheme) CheckSecret(text string) error {
	for _, w := range s.waysFor(text) {
		if _, err := w.key(text); err != nil {
			return err
		}
	}
	return nil
}

func (w *way) key(text string) (key, error) {
	if strings.TrimSpace(text) == "" {
		return key{}, errors.New("the secret is empty")
	}
	if len(text) > maxSecret {
		return key{}, fmt.Errorf("the secret is longer than %d bytes", maxSecret)
	}
	text = strings.TrimPrefix(text, w.SecretPrefix)
	switch {
	case w.Algorithm.IsPublic():
		return publicKey(w.Algorithm, strings.TrimSpace(text))
	case w.SecretIsBase64:
		bytes, err := decodeBase64(strings.NewReplacer("-", "+", "_", "/").Replace(text))
		if err != nil || len(bytes) == 0 {
			return key{}, fmt.Errorf("the secret is not base64, which follows %q in this sender's secrets", w.SecretPrefix)
		}
		return key{bytes: bytes}, nil
	default:
		return key{bytes: []byte(text)}, nil
	}
}

// publicKey reads one in hex, base64 or PEM: the key's own 32 bytes of Ed25519, or
// the structure that OpenSSL writes (DER).
func publicKey(a Algorithm, text string) (key, error) {
	wrong := fmt.Errorf("this is not a public key of %s: want hex, base64 or PEM, as the sender shows it", a)
	der, err := hex.DecodeString(text)
	if err != nil {
		der, err = decodeBase64(text)
	}
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return key{}, wrong
	}
	if a == Ed25519 && len(der) == ed25519.PublicKeySize {
		return ed25519Key(der, wrong)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return key{}, wrong
	}
	switch public := parsed.(type) {
	case ed25519.PublicKey:
		if a == Ed25519 {
			return ed25519Key(public, wrong)
		}
	case *ecdsa.PublicKey:
		if a == ECDSAP256 && public.Curve == elliptic.P256() {
			return key{ecdsa: public}, nil
		}
	}
	return key{}, wrong
}

// ed25519Key refuses the few points for which anybody can make signatures.
func ed25519Key(public ed25519.PublicKey, wrong error) (key, error) {
	point, err := new(edwards25519.Point).SetBytes(public)
	if err != nil {
		return key{}, wrong
	}
	if point.MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return key{}, fmt.Errorf("this public key of %s proves nothing: signatures for it can be made without a private key; use the one that the sender shows", Ed25519)
	}
	return key{ed25519: public}, nil
}

// decodeBase64 takes the padding or leaves it.
func decodeBase64(text string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
}
