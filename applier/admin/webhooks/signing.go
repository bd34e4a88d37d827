package webhooks

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// SecretOf is what a secret is for.
type SecretOf string

const (
	OfSignature SecretOf = "signature"
	OfBasic     SecretOf = "basic"
)

// maxSecrets bounds what a record keeps of each kind. A forged request is compared
// with ended ones, too, to say more about it.
const maxSecrets = 5

var (
	// ErrNoSecretWanted: the webhook's definition uses no such secret.
	ErrNoSecretWanted = errors.New("the webhook's definition uses no such secret")
	// ErrGiveSecret: only the sender can make the secret.
	ErrGiveSecret = errors.New("the sender signs with a private key that only it has: give its public key, as it shows it, with --secret or --secret-stdin")
)

// SecretFormError says that a text cannot be the secret, and what is expected. It has
// nothing of the text in it.
type SecretFormError struct {
	Cause error
	// Expected is how the sender shows its secret, where that is known.
	Expected string
}

func (e *SecretFormError) Error() string {
	if e.Expected == "" {
		return e.Cause.Error()
	}
	return fmt.Sprintf("%v; the sender shows it as: %s", e.Cause, e.Expected)
}

func (e *SecretFormError) Unwrap() error { return e.Cause }

// SecretWanted returns what SetSecret sets where nobody says it: the signature's secret
// where there is a signature.
func SecretWanted(auth webhook.Auth) SecretOf {
	switch {
	case auth.Signature != nil:
		return OfSignature
	case auth.Basic != nil:
		return OfBasic
	}
	return ""
}

// SetSecret gives a webhook the secret that its sender signs with, or its password. An
// empty text has one made, where anybody but the sender can. The secrets there were
// work for the overlap, unless they end sooner.
func (s *Service) SetSecret(ctx context.Context, w broker.Saved, of SecretOf, text string, overlap time.Duration) (Saved, error) {
	var kept *[]secret.SealedText
	purpose := secret.SigningSecret
	check, create := checkSigning, makeSigning
	switch {
	case of == OfSignature && w.Auth.Signature != nil:
		kept = &w.SigningSecrets
	case of == OfBasic && w.Auth.Basic != nil:
		kept, purpose, check, create = &w.BasicPasswords, secret.BasicPassword, checkPassword, makePassword
	case of == OfSignature && w.Auth.Basic != nil:
		return Saved{}, fmt.Errorf("%w: it has basic authentication and no signature", ErrNoSecretWanted)
	case of == OfBasic && w.Auth.Signature != nil:
		return Saved{}, fmt.Errorf("%w: it has a signature and no basic authentication", ErrNoSecretWanted)
	default:
		return Saved{}, fmt.Errorf("%w: it has neither a signature nor basic authentication; "+
			"write `auth: {signature: stripe}` or `auth: {basic: {username: shop}}` and apply it", ErrNoSecretWanted)
	}
	made := ""
	if text == "" {
		var err error
		if made, err = create(w.Auth); err != nil {
			return Saved{}, err
		}
		text = made
	}
	if err := check(w.Auth, text); err != nil {
		return Saved{}, err
	}
	now, before := s.now(), *kept
	if s.isNewestText(purpose, w.Record, before, text) {
		*kept = append(before[:1:1], endTexts(before[1:], now.Add(overlap))...)
	} else {
		sealed, err := s.master.SealText(purpose, w.ID, text, now)
		if err != nil {
			return Saved{}, err
		}
		all := append([]secret.SealedText{sealed}, endTexts(before, now.Add(overlap))...)
		*kept = all[:min(len(all), maxSecrets)]
	}
	if reflect.DeepEqual(*kept, before) {
		return Saved{Saved: w, Change: Unchanged}, nil
	}
	saved, err := s.definitions.Update(ctx, w, now)
	return Saved{Saved: saved, Secret: made, Change: Updated}, err
}

// isNewestText reports whether the webhook uses that secret already.
func (s *Service) isNewestText(purpose secret.Purpose, rec webhook.Record, kept []secret.SealedText, text string) bool {
	if len(kept) == 0 || kept[0].ExpiresAt != nil {
		return false
	}
	newest, err := s.master.OpenText(purpose, rec.ID, kept[0])
	return err == nil && newest == text
}

// endTexts returns the secrets, none of which is valid beyond the end.
func endTexts(kept []secret.SealedText, end time.Time) []secret.SealedText {
	ended := slices.Clone(kept)
	for i := range ended {
		endBy(&ended[i].ExpiresAt, end)
	}
	return ended
}

func checkSigning(auth webhook.Auth, text string) error {
	w, err := webhook.Compile(webhook.Record{Definition: webhook.Definition{Auth: auth}}, 0)
	if err != nil {
		return err
	}
	if err := w.Scheme.CheckSecret(text); err != nil {
		return &SecretFormError{Cause: err, Expected: auth.Preset().Secret.Example}
	}
	return nil
}

// makeSigning makes a secret in the form in which the sender shows it.
func makeSigning(auth webhook.Auth) (string, error) {
	spec, err := auth.Signature.Spec()
	switch {
	case err != nil:
		return "", err
	case spec.Algorithm.IsPublic():
		return "", ErrGiveSecret
	case spec.SecretIsBase64:
		return spec.SecretPrefix + base64.StdEncoding.EncodeToString(randomBytes()), nil
	default:
		return spec.SecretPrefix + base64.RawURLEncoding.EncodeToString(randomBytes()), nil
	}
}

const maxPassword = 200

func checkPassword(_ webhook.Auth, text string) error {
	if text == "" || len(text) > maxPassword || strings.ContainsFunc(text, unicode.IsControl) {
		return &SecretFormError{Cause: fmt.Errorf("a password has 1 to %d characters, and no control characters", maxPassword)}
	}
	return nil
}

func makePassword(webhook.Auth) (string, error) {
	return base64.RawURLEncoding.EncodeToString(randomBytes()), nil
}

func randomBytes() []byte {
	b := make([]byte, 32)
	rand.Read(b) // documented never to fail
	return b
}

// NewestSecret opens the secret that the sender of a webhook signs with now. Of a sender
// that signs with a private key the webhook has only the public one.
func (s *Service) NewestSecret(w broker.Saved) (string, error) {
	if spec, err := w.Auth.Signature.Spec(); err == nil && spec.Algorithm.IsPublic() {
		return "", signature.ErrPublicKey
	}
	if len(w.SigningSecrets) == 0 {
		return "", fmt.Errorf("the webhook has no signing secret yet: %s", setSecret(w.Record, OfSignature))
	}
	return s.master.OpenText(secret.SigningSecret, w.ID, w.SigningSecrets[0])
}

// Missing returns sentences about secrets that a webhook needs and that nobody has set:
// until then its requests are answered 503.
func Missing(rec webhook.Record) (sentences []string) {
	if rec.Auth.Signature != nil && len(rec.SigningSecrets) == 0 {
		sentences = append(sentences, "It has no signing secret, so its requests are answered 503. Set the one that the sender shows: "+setSecret(rec, OfSignature))
	}
	if rec.Auth.Basic != nil && len(rec.BasicPasswords) == 0 {
		sentences = append(sentences, "It has no password, so its requests are answered 503. Set one: "+setSecret(rec, OfBasic))
	}
	return sentences
}

// setSecret is the command that sets a secret.
func setSecret(rec webhook.Record, of SecretOf) string {
	command := "coinhook webhooks set-secret " + rec.ID
	if of != SecretWanted(rec.Auth) {
		command += " --for " + string(of)
	}
	return command
}

// withoutOthers takes the secrets from a record whose definition asks for them no
// more, or for those of another sender: one that was switched off must not come back
// to life.
func withoutOthers(rec webhook.Record, before webhook.Auth) webhook.Record {
	if !rec.Auth.Signature.SameSecrets(before.Signature) {
		rec.SigningSecrets = nil
	}
	if rec.Auth.Basic == nil {
		rec.BasicPasswords = nil
	}
	return rec
}
