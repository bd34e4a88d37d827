package secret

import (
	"fmt"
	"time"
)

// Purpose is what a sealed text is for. Sealed for one purpose, it opens for no other.
type Purpose string

const (
	SigningSecret Purpose = "webhook signing secret"
	BasicPassword Purpose = "webhook basic password"
)

// SealedText is a secret text as it is kept: readable with the master key only, and
// only as that of the webhook that it was sealed for.
type SealedText struct {
	Sealed    string    `json:"sealed"`
	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is set once the secret is replaced.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Valid reports whether the secret is accepted at that time.
func (s SealedText) Valid(at time.Time) bool { return s.ExpiresAt == nil || at.Before(*s.ExpiresAt) }

// SealText makes what is kept of a secret.
func (k MasterKey) SealText(purpose Purpose, webhookID, text string, now time.Time) (SealedText, error) {
	sealed, err := k.seal(string(purpose), webhookID, []byte(text))
	if err != nil {
		return SealedText{}, err
	}
	return SealedText{Sealed: sealed, CreatedAt: now}, nil
}

// OpenText returns the secret. An error means that this master key is not the one, or
// that what is kept is damaged.
func (k MasterKey) OpenText(purpose Purpose, webhookID string, sealed SealedText) (string, error) {
	plain, err := k.open(string(purpose), webhookID, sealed.Sealed)
	if err != nil {
		return "", fmt.Errorf("the %s of %s cannot be opened: %w", purpose, webhookID, err)
	}
	return string(plain), nil
}

// ResealText returns what is kept of a secret, sealed under the present master key, and
// reports whether another one had sealed it.
func (k MasterKey) ResealText(purpose Purpose, webhookID string, sealed SealedText) (SealedText, bool, error) {
	text, changed, err := k.reseal(string(purpose), webhookID, sealed.Sealed)
	if err != nil {
		return sealed, false, fmt.Errorf("the %s of %s cannot be opened: %w", purpose, webhookID, err)
	}
	sealed.Sealed = text
	return sealed, changed, nil
}
