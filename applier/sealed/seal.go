package sealed

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// Form is how the parts of a body are put together.
type Form string

// The forms.
const (
	Text Form = "text" // iv and ciphertext as one text
	JSON Form = "json" // {"iv": …, "data": …}
)

// Encoding is how bytes are written as text.
type Encoding string

// The encodings.
const (
	Base64    Encoding = "base64"
	Base64URL Encoding = "base64url"
	Hex       Encoding = "hex"
)

func (e Encoding) encode(b []byte) string {
	switch e {
	case Hex:
		return hex.EncodeToString(b)
	case Base64URL:
		return base64.RawURLEncoding.EncodeToString(b)
	default:
		return base64.StdEncoding.EncodeToString(b)
	}
}

// Body is a sealed body and the random IV, or nonce, that it was made with.
type Body struct {
	Text string
	IV   []byte
}

// Seal encrypts a payload as a sender does.
func Seal(key Key, form Form, encoding Encoding, payload []byte) (Body, error) {
	iv := make([]byte, ivLength(key.mode))
	rand.Read(iv) // documented never to fail
	data := key.seal(iv, payload)
	if form == Text {
		return Body{Text: encoding.encode(append(bytes.Clone(iv), data...)), IV: iv}, nil
	}
	text, err := json.Marshal(struct {
		IV   string `json:"iv"`
		Data string `json:"data"`
	}{encoding.encode(iv), encoding.encode(data)})
	if err != nil {
		return Body{}, fmt.Errorf("write a sealed body: %w", err)
	}
	return Body{Text: string(text), IV: iv}, nil
}

func (k Key) seal(iv, payload []byte) []byte {
	if k.mode == webhook.GCM {
		return k.aead.Seal(nil, iv, payload, nil)
	}
	padding := cbcIV - len(payload)%cbcIV
	data := append(bytes.Clone(payload), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(k.block, iv).CryptBlocks(data, data)
	return data
}
