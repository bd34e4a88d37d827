package webhooks

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	// defaultOverlap is how long a key opens bodies of its mode after a definition
	// has changed the mode.
	defaultOverlap = 24 * time.Hour

	// maxAESKeys bounds what a record keeps; those that ended first are dropped.
	maxAESKeys = 20
)

// SetEncryption turns encryption on with a key, or off. A zero key has one made.
// The keys there were open bodies for the overlap, unless they end sooner; with
// encryption off they end at once. The error is webhook.Errors for a webhook that takes
// its payload from the query.
func (s *Service) SetEncryption(
	ctx context.Context, w broker.Saved, mode webhook.Encryption, key secret.AESKey, overlap time.Duration,
) (Saved, error) {
	now := s.now()
	before := w.Record
	w.Encryption = mode
	if mode.IsOn() {
		// A record that cannot be compiled would stop the webhook.
		if _, err := webhook.IntakeOf(w.Definition); err != nil {
			return Saved{}, err
		}
	}
	var made secret.AESKey
	switch {
	case !mode.IsOn():
		w.AESKeys = endKeys(w.AESKeys, now)
	case s.isNewest(before, key):
		w.AESKeys = append(w.AESKeys[:1:1], endKeys(w.AESKeys[1:], now.Add(overlap))...)
	default:
		if key.IsZero() {
			made = secret.NewAESKey()
			key = made
		}
		sealed, err := s.master.Seal(w.ID, key, string(mode), now)
		if err != nil {
			return Saved{}, err
		}
		w.AESKeys = withKey(sealed, endKeys(w.AESKeys, now.Add(overlap)))
	}
	if w.Encryption == before.Encryption && reflect.DeepEqual(w.AESKeys, before.AESKeys) {
		return Saved{Saved: w, Change: Unchanged}, nil
	}
	saved, err := s.definitions.Update(ctx, w, now)
	return Saved{Saved: saved, AESKey: made, Change: Updated}, err
}

// isNewest reports whether the webhook uses that key already, in its mode.
func (s *Service) isNewest(rec webhook.Record, key secret.AESKey) bool {
	if key.IsZero() || !hasKey(rec) || rec.AESKeys[0].Mode != string(rec.Encryption) {
		return false
	}
	newest, err := s.master.Unseal(rec.ID, rec.AESKeys[0])
	return err == nil && newest == key
}

// withAESKey gives a record whose bodies are encrypted, and that has no key, its
// first one. A change of the mode keeps the key: the sender has it. Without
// encryption the keys end: one that was switched off must not come back to life.
func (s *Service) withAESKey(rec *webhook.Record) (made secret.AESKey, err error) {
	now, mode := s.now(), string(rec.Encryption)
	switch {
	case !rec.Encryption.IsOn():
		rec.AESKeys = endKeys(rec.AESKeys, now)
		return made, nil
	case !hasKey(*rec):
		made = secret.NewAESKey()
		sealed, err := s.master.Seal(rec.ID, made, mode, now)
		if err != nil {
			return secret.AESKey{}, err
		}
		rec.AESKeys = withKey(sealed, rec.AESKeys)
	case rec.AESKeys[0].Mode != mode:
		same := rec.AESKeys[0]
		same.Mode, same.CreatedAt = mode, now
		rec.AESKeys = withKey(same, endKeys(rec.AESKeys, now.Add(defaultOverlap)))
	}
	return made, nil
}

// CBCWarning says what is weak about a webhook that takes bodies in CBC, and what to do.
// It is empty for others.
func CBCWarning(def webhook.Definition) string {
	if def.Encryption != webhook.CBC {
		return ""
	}
	text := "AES-256-CBC does not show whether a body was changed: somebody who has one body can change amounts in it without the key. "
	if def.IsKeyless() {
		return text + "Use gcm, or ask for an API key next to it with `auth: {api_key: true}`."
	}
	return text + "The webhook's authentication keeps strangers out; use gcm where the sender can."
}

// hasKey reports whether there is a key that was not replaced. It stands first.
func hasKey(rec webhook.Record) bool { return len(rec.AESKeys) > 0 && rec.AESKeys[0].ExpiresAt == nil }

// lacksKey: nothing that a definition says can be the same as before while its
// key is missing.
func lacksKey(rec webhook.Record) bool { return rec.Encryption.IsOn() && !hasKey(rec) }

// endKeys returns the keys, none of which is valid beyond the end.
func endKeys(keys []secret.SealedKey, end time.Time) []secret.SealedKey {
	ended := slices.Clone(keys)
	for i := range ended {
		endBy(&ended[i].ExpiresAt, end)
	}
	return ended
}

// endBy has a key or secret end at a time, unless it ends sooner.
func endBy(expires **time.Time, end time.Time) {
	if *expires == nil || (*expires).After(end) {
		*expires = &end
	}
}

func withKey(newest secret.SealedKey, older []secret.SealedKey) []secret.SealedKey {
	keys := append([]secret.SealedKey{newest}, older...)
	return keys[:min(len(keys), maxAESKeys)]
}
