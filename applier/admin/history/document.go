package history

import (
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Document is a delivery with what the sender sent, in the form that programs
// read. A payload that is no text goes into payload_base64.
type Document struct {
	Full
	Payload       *string `json:"payload"`
	PayloadBase64 []byte  `json:"payload_base64,omitempty"`
	// DecryptedPayload is null where the body is not encrypted or cannot be read.
	DecryptedPayload *string `json:"decrypted_payload"`
	// EditedPayload is what an admin made of it, to run instead.
	EditedPayload       *string `json:"edited_payload"`
	EditedPayloadBase64 []byte  `json:"edited_payload_base64,omitempty"`
	// Redacted says that secrets were taken out.
	Redacted bool `json:"redacted"`
}

// Document makes the form that programs read.
func (f Full) Document(decrypted *string, redacted bool) Document {
	doc := Document{Full: f, DecryptedPayload: decrypted, Redacted: redacted}
	if f.Headers == nil {
		doc.Headers = []delivery.Header{}
	}
	doc.Query = strings.ToValidUTF8(f.Query, "\uFFFD")
	doc.Payload, doc.PayloadBase64 = admin.TextOrBytes(f.Payload)
	doc.EditedPayload, doc.EditedPayloadBase64 = admin.TextOrBytes(f.Edited)
	return doc
}
