package webhook

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/signature"
)

// RecordFormat is the newest format of a record that this version of Coinhook
// reads. docs/design/decisions/formats.md says when it rises.
const RecordFormat = 3

// formatPaused is the format of a paused webhook: an older applier executes deliveries in
// every state of their webhook.
const formatPaused = 2

// formatOpen is the format of a webhook that takes other requests than JSON by POST,
// proves their sender in another way than by an API key, finds users by other names
// than email and username, or has a part of a mapping that came with these.
const formatOpen = 3

// usesOpen reports whether a definition has a part of formatOpen.
func usesOpen(def Definition) bool {
	return def.Receive != nil || def.Auth.isOpen() || def.usesMappingParts() ||
		def.User != nil && def.User.By != ByEmail && def.User.By != ByUsername
}

// Record is one saved version of a webhook, as the bucket keeps it.
type Record struct {
	ID string `json:"id"`
	// Format is the lowest RecordFormat that a reader must know; 0 stands for 1.
	// An older reader would misread the record, so it reads only the envelope.
	Format int `json:"format,omitempty"`
	// Version counts the saves of this webhook, from 1.
	Version int `json:"version"`
	Definition
	// APIKeys are accepted; more than one while a rotation overlaps.
	APIKeys []secret.APIKey `json:"api_keys,omitempty"`
	// AESKeys open the bodies; each opens those that were received before it ended. Ended
	// keys stay for deliveries that were accepted in their time.
	AESKeys []secret.SealedKey `json:"aes_keys,omitempty"`
	// SigningSecrets verify signatures, and BasicPasswords are those of auth.basic. The
	// newest stands first. Ended ones stay for a while: they say why a request is refused.
	SigningSecrets []secret.SealedText `json:"signing_secrets,omitempty"`
	BasicPasswords []secret.SealedText `json:"basic_passwords,omitempty"`
	CreatedAt      time.Time           `json:"created_at"`
	UpdatedAt      time.Time           `json:"updated_at"`
	// DeletedAt marks a webhook that is gone for senders and admins. The record
	// stays, so that the history of its deliveries keeps its name.
	DeletedAt *time.Time `json:"deleted_at,omitempty"`
}

// envelope is what every format of a record has, with the same keys and types.
type envelope struct {
	ID        string     `json:"id"`
	Format    int        `json:"format"`
	Version   int        `json:"version"`
	Name      string     `json:"name"`
	Community string     `json:"community"`
	State     State      `json:"state"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	DeletedAt *time.Time `json:"deleted_at"`
}

// ReadRecord reads a saved record. Of one in a format that this version does not
// know it returns the envelope only: check IsNewer before you use the rest.
func ReadRecord(text []byte) (rec Record, err error) {
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return Record{}, err
	}
	if e.Format > RecordFormat {
		return Record{
			ID: e.ID, Format: e.Format, Version: e.Version, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, DeletedAt: e.DeletedAt,
			Definition: Definition{Name: e.Name, Community: e.Community, State: e.State},
		}, nil
	}
	err = json.Unmarshal(text, &rec)
	return rec, err
}

// IsNewer reports whether a newer version of Coinhook has saved the record in a
// format that this one would misread.
func (r Record) IsNewer() bool { return r.Format > RecordFormat }

// LeastFormat is the Format to save the record with: the lowest that reads it right.
func (r Record) LeastFormat() int {
	switch {
	case r.IsNewer():
		return r.Format
	case usesOpen(r.Definition):
		return formatOpen
	case r.State == Paused:
		return formatPaused
	}
	return 0
}

// CheckWritable returns an error if a record's text has keys that this version
// does not know. They would be lost if this version saved it.
func CheckWritable(text []byte) error {
	rec, err := ReadRecord(text)
	if err != nil {
		return err
	}
	if rec.IsNewer() {
		return fmt.Errorf("its format is %d, and the newest that this version knows is %d", rec.Format, RecordFormat)
	}
	if err := decodeStrictly(text, &rec); err != nil {
		return err
	}
	if err := checkSignatureKeys(text); err != nil {
		return err
	}
	return checkCovered(rec, text)
}

func decodeStrictly(text []byte, into any) error {
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	return strict.Decode(into)
}

// checkCovered returns an error if a record does not hold all of the text that it was
// read from. Parts with two forms read themselves, which the decoder's strictness
// does not reach.
func checkCovered(rec Record, text []byte) error {
	again, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	var was, now any
	if err := json.Unmarshal(text, &was); err != nil {
		return err
	}
	if err := json.Unmarshal(again, &now); err != nil {
		return err
	}
	if key, lost := lostKey(was, now); lost {
		return fmt.Errorf("this version does not know its key %q", key)
	}
	return nil
}

// lostKey finds a key that one tree has and the other lacks.
func lostKey(was, now any) (key string, lost bool) {
	switch was := was.(type) {
	case map[string]any:
		now, _ := now.(map[string]any)
		for key, value := range was {
			other, ok := now[key]
			if !ok && !isEmpty(value) {
				return key, true
			}
			if inner, lost := lostKey(value, other); ok && lost {
				return inner, true
			}
		}
	case []any:
		now, _ := now.([]any)
		for i, value := range was {
			if i >= len(now) {
				return "", true
			}
			if key, lost := lostKey(value, now[i]); lost {
				return key, true
			}
		}
	}
	return "", false
}

// isEmpty reports whether a value may have been left out.
func isEmpty(value any) bool {
	switch value := value.(type) {
	case []any:
		return len(value) == 0
	case map[string]any:
		return len(value) == 0
	default:
		return value == nil || value == false || value == "" || value == 0.0
	}
}

// Webhook is a Record compiled for use. It is immutable.
type Webhook struct {
	Record
	// Revision orders the saves of all webhooks; the bucket gives it.
	Revision uint64
	// Scheme is how its signatures are made, nil where the definition has none.
	Scheme *signature.Scheme
	// SecretHeaders carry its signature: no delivery has them.
	SecretHeaders []string
	// Allowed are the networks of Auth.Allow.
	Allowed []netip.Prefix
	// Intake is how its requests look.
	Intake Intake
	// Program is what the definition says to do with a payload. It is nil while
	// the definition has no mappings, as a draft may.
	Program *Program
}

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewID makes a webhook's id: 128 random bits, because the id is part of a URL
// that may be all that protects a webhook without an API key.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // documented never to fail
	return "wh_" + strings.ToLower(idEncoding.EncodeToString(b[:]))
}

// IsID reports whether s has the form of a webhook's id. It runs for every
// request, so it is not a regular expression.
func IsID(s string) bool {
	digits, found := strings.CutPrefix(s, "wh_")
	if !found || len(digits) != 26 {
		return false
	}
	for i := range len(digits) {
		if c := digits[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}
