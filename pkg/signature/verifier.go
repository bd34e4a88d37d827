package signature

import (
	"errors"
	"time"
)

// Verifier is a Scheme with its secrets. It may be used by many at once.
type Verifier struct {
	scheme *Scheme
}

// Open makes a verifier of a webhook's secrets. The error never has a secret in it.
func (s *Scheme) Open(secrets []Secret) (*Verifier, error) {
	return &Verifier{scheme: s}, nil
}

// CheckSecret reports why a text cannot be a secret of this scheme.
func (s *Scheme) CheckSecret(text string) error { return nil }

// Verify returns the sender's id of the event, if it has one, and why the request
// does not verify: the zero Cause if it does.
func (v *Verifier) Verify(r Request, now time.Time) (id string, cause Cause) {
	return "", Cause{Kind: NoSecret}
}

// Sign returns the request as the sender would sign it: with more headers, and with
// another URL where the query holds the signature. An id is added where the scheme
// has a place for it and the request has none.
func (s *Scheme) Sign(r Request, secret, id string, now time.Time) (Request, error) {
	return Request{}, errors.New("signing is not built yet")
}

var presets []Preset
