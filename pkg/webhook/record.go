package webhook

import (
	"crypto/rand"
	"encoding/base32"
	"regexp"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/secret"
)

// Record is one saved version of a webhook, as the bucket keeps it.
type Record struct {
	ID string `json:"id"`
	// Version counts the saves of this webhook, from 1.
	Version int `json:"version"`
	Definition
	// APIKeys are accepted; more than one while a rotation overlaps.
	APIKeys []secret.APIKey `json:"api_keys,omitempty"`
	// AESKeys open the bodies, each those that were received before it ended. Ended
	// ones stay for what was accepted in their time and is not executed yet.
	AESKeys   []secret.SealedKey `json:"aes_keys,omitempty"`
	CreatedAt time.Time          `json:"created_at"`
	UpdatedAt time.Time          `json:"updated_at"`
	// DeletedAt marks a webhook that is gone for senders and admins. The record
	// stays, so that the history of its deliveries keeps its name.
	DeletedAt *time.Time `json:"deleted_at,omitempty"`
}

// Webhook is a Record compiled for use. It is immutable.
type Webhook struct {
	Record
	// Revision orders the saves of all webhooks; the bucket gives it.
	Revision uint64
	// Program is what the definition says to do with a payload. It is nil while
	// the definition has no mappings, as a draft may.
	Program *Program
}

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewID makes a webhook's id: 128 random bits, for the id is part of a URL
// that may be all that protects a webhook without an API key.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // documented never to fail
	return "wh_" + strings.ToLower(idEncoding.EncodeToString(b[:]))
}

var idPattern = regexp.MustCompile(`^wh_[a-z2-7]{26}$`)

// IsID reports whether s has the form of a webhook's id.
func IsID(s string) bool { return idPattern.MatchString(s) }
