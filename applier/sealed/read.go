package sealed

import (
	"bytes"
	"crypto/aes"
	"encoding/base64"
	"encoding/hex"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// box is one reading of a body: its parts as bytes, of lengths that the mode
// allows. data has a GCM tag at its end.
type box struct{ iv, data []byte }

// envelope is the form with the parts apart. Other members are ignored.
type envelope struct {
	IV         *string `json:"iv"`
	Nonce      *string `json:"nonce"`
	Data       *string `json:"data"`
	Ciphertext *string `json:"ciphertext"`
	Tag        *string `json:"tag"`
}

// read returns all readings of a body, the likelier one first.
//
// A text of hexadecimal digits may be meant as base64. Hex comes first, because the
// shortest base64 text, 43 letters, has only such digits once in 10^20 bodies. Both
// readings are tried.
func read(body []byte, mode webhook.Encryption) []box {
	body = bytes.Trim(body, " \t\r\n")
	switch {
	case bytes.HasPrefix(body, []byte("{")):
		return readEnvelope(body, mode)
	case bytes.HasPrefix(body, []byte(`"`)):
		var text string
		if json.Unmarshal(body, &text) != nil {
			return nil
		}
		body = []byte(text)
	}
	var boxes []box
	for _, b := range decode(body) {
		if n := ivLength(mode); len(b) >= n {
			boxes = appendBox(boxes, mode, b[:n], b[n:])
		}
	}
	return boxes
}

func readEnvelope(body []byte, mode webhook.Encryption) []box {
	var e envelope
	// Without duplicate names, and matched with case: one body, one meaning.
	if json.Unmarshal(body, &e) != nil {
		return nil
	}
	iv, ok := either(e.IV, e.Nonce)
	data, ok2 := either(e.Data, e.Ciphertext)
	if !ok || !ok2 {
		return nil
	}
	var tags [][]byte
	switch {
	case e.Tag == nil || *e.Tag == "":
		tags = [][]byte{nil}
	case mode == webhook.GCM:
		tags = ofLength(decode([]byte(*e.Tag)), gcmTag)
	}
	var boxes []box
	datas := decode([]byte(data))
	if data == "" {
		datas = [][]byte{nil} // what was encrypted with GCM is empty
	}
	for _, v := range ofLength(decode([]byte(iv)), ivLength(mode)) {
		for _, tag := range tags {
			for _, d := range datas {
				boxes = appendBox(boxes, mode, v, slices.Concat(d, tag))
			}
		}
	}
	return boxes
}

func either(a, b *string) (string, bool) {
	switch {
	case a != nil && b == nil:
		return *a, true
	case a == nil && b != nil:
		return *b, true
	}
	return "", false
}

func ofLength(values [][]byte, n int) [][]byte {
	var fit [][]byte
	for _, v := range values {
		if len(v) == n {
			fit = append(fit, v)
		}
	}
	return fit
}

func appendBox(boxes []box, mode webhook.Encryption, iv, data []byte) []box {
	if mode == webhook.GCM && len(data) < gcmTag ||
		mode == webhook.CBC && (len(data) == 0 || len(data)%aes.BlockSize != 0) {
		return boxes
	}
	return append(boxes, box{iv: iv, data: data})
}

// decode returns what a text may stand for: hex, base64 or base64url, the latter
// two with all of their padding or none. Line breaks inside are those of openssl
// and MIME. Bits that stand for nothing must be zero, so that a text cannot be
// changed without changing what it stands for.
func decode(text []byte) [][]byte {
	text = bytes.Trim(text, " \t\r\n")
	if bytes.ContainsAny(text, "\r\n") {
		text = bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, text)
	}
	if len(text) == 0 {
		return nil
	}
	var all [][]byte
	if b := make([]byte, hex.DecodedLen(len(text))); len(text)%2 == 0 {
		if _, err := hex.Decode(b, text); err == nil {
			all = append(all, b)
		}
	}
	encoding := base64.StdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if text[len(text)-1] != '=' {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	b := make([]byte, encoding.DecodedLen(len(text)))
	if n, err := encoding.Strict().Decode(b, text); err == nil {
		all = append(all, b[:n])
	}
	return all
}
