// Package verify checks signatures and basic credentials of requests. It holds
// the opened secrets of webhooks.
package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// ErrNoSecret: the webhook's definition asks for a secret that nobody has set.
var ErrNoSecret = errors.New("the webhook has no secret yet: set it with `coinhook webhooks set-secret`")

// Vault opens the secrets of webhooks, once for each change of one, and holds them in
// memory. It is safe for concurrent use.
type Vault struct {
	master secret.MasterKey
	failed func(webhookID string, err error)
	byID   sync.Map // a webhook's id to its *Checks
}

// NewVault returns a vault. failed is called once for each change of a webhook
// whose secrets cannot be used; it may be nil.
func NewVault(master secret.MasterKey, failed func(webhookID string, err error)) *Vault {
	return &Vault{master: master, failed: failed}
}

// Needs reports whether the checks of a webhook need a secret that is sealed.
func Needs(w *webhook.Webhook) bool { return w.Auth.Signature != nil || w.Auth.Basic != nil }

// Of returns the checks of a webhook. The error says why they cannot be made: nothing
// may pass then.
func (v *Vault) Of(w *webhook.Webhook) (*Checks, error) {
	if known, ok := v.byID.Load(w.ID); ok {
		if c := known.(*Checks); c.of == w && !c.isOld(time.Now()) {
			return c, c.err
		}
	}
	c := v.open(w)
	before, _ := v.byID.Swap(w.ID, c)
	// Several requests may come together after a change.
	if old, _ := before.(*Checks); c.err != nil && v.failed != nil && (old == nil || old.of != w) {
		v.failed(w.ID, c.err)
	}
	return c, c.err
}

func (v *Vault) open(w *webhook.Webhook) *Checks {
	c := &Checks{of: w}
	c.err = errors.Join(v.openSignature(c), v.openBasic(c))
	return c
}

func (v *Vault) openSignature(c *Checks) error {
	w := c.of
	switch {
	case w.Auth.Signature == nil:
		return nil
	case w.Scheme == nil: // a record that this version cannot compile
		return errors.New("the signature's definition cannot be used")
	case len(w.SigningSecrets) == 0:
		return ErrNoSecret
	}
	var secrets []signature.Secret
	err := v.each(c, secret.SigningSecret, w.SigningSecrets, func(text string, kept secret.SealedText) {
		opened := signature.Secret{Text: text}
		if kept.ExpiresAt != nil {
			opened.Ends = *kept.ExpiresAt
		}
		secrets = append(secrets, opened)
	})
	if err == nil {
		c.verifier, err = w.Scheme.Open(secrets)
	}
	return err
}

func (v *Vault) openBasic(c *Checks) error {
	w := c.of
	switch {
	case w.Auth.Basic == nil:
		return nil
	case len(w.BasicPasswords) == 0:
		return ErrNoSecret
	}
	return v.each(c, secret.BasicPassword, w.BasicPasswords, func(text string, kept secret.SealedText) {
		c.passwords = append(c.passwords, password{sha256.Sum256([]byte(w.Auth.Basic.Username + ":" + text)), kept})
	})
}

// each opens the secrets of a kind. One that has ended would only explain refusals, so
// that it may stay closed.
func (v *Vault) each(c *Checks, purpose secret.Purpose, all []secret.SealedText, take func(text string, kept secret.SealedText)) error {
	for _, kept := range all {
		text, err := v.master.OpenText(purpose, c.of.ID, kept)
		switch {
		case err == nil:
			take(text, kept)
		case kept.Valid(time.Now()):
			if kept.ExpiresAt != nil {
				c.until = *kept.ExpiresAt
			}
			return err
		}
	}
	return nil
}

// Checks are those of one webhook, with its secrets.
type Checks struct {
	of        *webhook.Webhook
	err       error
	until     time.Time // the error may be over then; zero: it stays
	verifier  *signature.Verifier
	passwords []password
}

func (c *Checks) isOld(now time.Time) bool {
	return c.err != nil && !c.until.IsZero() && !now.Before(c.until)
}

// password is a digest of the username and a password, so that the time of comparing
// tells nothing of their lengths.
type password struct {
	sum  [sha256.Size]byte
	kept secret.SealedText
}

// Basic returns why the credentials of a request are not right, and "" if they are.
func (c *Checks) Basic(header http.Header, now time.Time) (cause string) {
	given, cause := basicCredentials(header)
	if cause != "" {
		return cause
	}
	sum := sha256.Sum256([]byte(given))
	right, ended := 0, 0
	for _, p := range c.passwords {
		same := subtle.ConstantTimeCompare(sum[:], p.sum[:])
		if p.kept.Valid(now) {
			right |= same
		} else {
			ended |= same
		}
	}
	switch {
	case right == 1:
		return ""
	case ended == 1:
		return "the password was replaced, and its overlap is over"
	default:
		return "the username or the password is wrong"
	}
}

// basicCredentials returns what the header has: a name, a colon and a password.
func basicCredentials(header http.Header) (text, cause string) {
	const scheme = "Basic "
	value := header.Get("Authorization")
	if value == "" {
		return "", "the header Authorization is missing"
	}
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", "the header Authorization has another scheme than Basic"
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value[len(scheme):]))
	if err != nil {
		return "", "the header Authorization is not base64"
	}
	return string(decoded), ""
}

// Signature returns the sender's id of the event, if the signature carries one, and
// why the request does not verify.
func (c *Checks) Signature(r signature.Request, now time.Time) (id string, cause signature.Cause) {
	return c.verifier.Verify(r, now)
}
