package webhooks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Rotation says what RotateSecrets has done.
type Rotation struct {
	// Webhooks were read, deleted ones among them.
	Webhooks int `json:"webhooks"`
	// Secrets is how many were sealed under the present master key, Versions in
	// how many versions.
	Secrets  int `json:"secrets"`
	Versions int `json:"versions"`
	// Removed secrets were those of deleted webhooks.
	Removed int `json:"removed"`
	// Left could not be sealed again, and is as it was.
	Left []Left `json:"left"`
}

// Left is what a rotation could not do in some versions of a webhook.
type Left struct {
	ID       string `json:"id"`
	Webhook  string `json:"webhook"`
	Versions []int  `json:"versions"`
	Cause    string `json:"cause"`
}

const (
	// rotationPasses bounds how often all webhooks are read: somebody may save meanwhile,
	// and seal under the key of before.
	rotationPasses = 5
	// saveTries bounds how often a webhook is read again that somebody else saves.
	saveTries = 100
)

// ErrStillSealing: some program still seals under another key.
var ErrStillSealing = errors.New("some program still seals under another key: give every console and command the new " +
	secret.MasterKeyVariable + " as the first one, and run this again")

// RotateSecrets seals every secret under the first of the service's master keys, in all
// versions that are kept, and removes the secrets of deleted webhooks. It ends when a
// pass over all webhooks found nothing to do. If it is interrupted, its work so far
// stays; run again, it continues with the rest.
func (s *Service) RotateSecrets(ctx context.Context) (Rotation, error) {
	total := Rotation{Left: []Left{}}
	if s.master.IsZero() {
		return total, secret.ErrNoMasterKey
	}
	for range rotationPasses {
		before := total.Versions
		total.Webhooks, total.Left = 0, total.Left[:0]
		if err := s.rotateAll(ctx, &total); err != nil || total.Versions == before {
			return total, err
		}
	}
	return total, ErrStillSealing
}

func (s *Service) rotateAll(ctx context.Context, total *Rotation) error {
	all, err := s.ever(ctx)
	if err != nil {
		return err
	}
	for _, w := range all {
		if err := s.rotate(ctx, w, total); err != nil {
			return fmt.Errorf("the webhook %q (%s): %w", w.Name, w.ID, err)
		}
		total.Webhooks++
	}
	unreadable, err := s.definitions.Unreadable(ctx)
	for _, u := range unreadable { // it may hold a secret
		total.Left = append(total.Left, Left{ID: u.ID, Versions: []int{}, Cause: u.Err.Error()})
	}
	return err
}

// rotate does it for one webhook, and adds to the account.
func (s *Service) rotate(ctx context.Context, w broker.Saved, total *Rotation) error {
	r := resealing{master: s.master, texts: map[string]string{}, secrets: map[int]int{}, left: map[string][]int{}}
	var written []int
	saved, err := s.resealNewest(ctx, w, &r)
	if err == nil {
		written, err = s.definitions.RewriteVersions(ctx, saved, r.change)
	}
	for _, version := range written {
		total.Versions++
		if r.remove {
			total.Removed += r.secrets[version]
		} else {
			total.Secrets += r.secrets[version]
		}
	}
	if errors.Is(err, broker.ErrNewer) {
		total.Left = append(total.Left, Left{w.ID, w.Name, []int{w.Version}, err.Error()})
		return nil
	}
	for _, cause := range slices.Sorted(maps.Keys(r.left)) {
		versions := slices.Sorted(slices.Values(r.left[cause]))
		total.Left = append(total.Left, Left{w.ID, w.Name, slices.Compact(versions), cause})
	}
	return err
}

// resealNewest saves the newest version of a webhook again where it has to be. It
// stays the same version, saved at the same time: what it says has not changed.
func (s *Service) resealNewest(ctx context.Context, w broker.Saved, r *resealing) (broker.Saved, error) {
	for try := 0; ; try++ {
		r.remove = w.DeletedAt != nil
		rec, changed := r.change(w.Record)
		if !changed {
			return w, nil
		}
		rec.Version-- // Update counts it up
		saved, err := s.definitions.Update(ctx, broker.Saved{Record: rec, Revision: w.Revision, Newer: w.Newer}, w.UpdatedAt)
		if err == nil || !errors.Is(err, broker.ErrConflict) || try == saveTries {
			return saved, err
		}
		if w, err = s.definitions.Get(ctx, w.ID); err != nil {
			return w, err
		}
	}
}

// resealing changes the secrets of the versions of one webhook.
type resealing struct {
	master secret.MasterKey
	remove bool

	// texts are the sealed texts of secrets, by what they are for and what they say. A
	// secret has the same text in all versions, so that a diff of two versions shows
	// only changes.
	texts   map[string]string
	secrets map[int]int      // how many change, by version
	left    map[string][]int // versions that keep one as it is, by cause
}

// change is a broker.Rewriting.
func (r *resealing) change(rec webhook.Record) (webhook.Record, bool) {
	if r.remove {
		r.secrets[rec.Version] = len(rec.AESKeys) + len(rec.SigningSecrets) + len(rec.BasicPasswords)
		return withoutSecrets(rec)
	}
	r.secrets[rec.Version] = 0
	rec.AESKeys = slices.Clone(rec.AESKeys)
	for i, key := range rec.AESKeys {
		again, changed, err := r.master.Reseal(rec.ID, key)
		r.count(rec.Version, changed, err)
		if err == nil {
			plain, _ := r.master.Unseal(rec.ID, again)
			rec.AESKeys[i].Sealed = r.same("aes key", plain.Reveal(), again.Sealed, changed)
		}
	}
	rec.SigningSecrets = r.reseal(rec, secret.SigningSecret, rec.SigningSecrets)
	rec.BasicPasswords = r.reseal(rec, secret.BasicPassword, rec.BasicPasswords)
	return rec, r.secrets[rec.Version] > 0
}

func (r *resealing) reseal(rec webhook.Record, purpose secret.Purpose, kept []secret.SealedText) []secret.SealedText {
	kept = slices.Clone(kept)
	for i, sealed := range kept {
		again, changed, err := r.master.ResealText(purpose, rec.ID, sealed)
		r.count(rec.Version, changed, err)
		if err == nil {
			plain, _ := r.master.OpenText(purpose, rec.ID, again)
			kept[i].Sealed = r.same(string(purpose), plain, again.Sealed, changed)
		}
	}
	return kept
}

func (r *resealing) count(version int, changed bool, err error) {
	switch {
	case err != nil:
		r.left[err.Error()] = append(r.left[err.Error()], version)
	case changed:
		r.secrets[version]++
	}
}

// same returns the one sealed text of a secret.
func (r *resealing) same(purpose, plain, sealed string, changed bool) string {
	key := purpose + "\x00" + plain
	if text, known := r.texts[key]; known && changed {
		return text
	}
	r.texts[key] = sealed
	return sealed
}

// withoutSecrets is a broker.Rewriting for a webhook that is deleted. The hashes of its
// API keys stay: nobody can send with them, and after an undelete senders can go on.
func withoutSecrets(rec webhook.Record) (webhook.Record, bool) {
	had := len(rec.AESKeys)+len(rec.SigningSecrets)+len(rec.BasicPasswords) > 0
	rec.AESKeys, rec.SigningSecrets, rec.BasicPasswords = nil, nil, nil
	return rec, had
}
