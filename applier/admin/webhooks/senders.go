package webhooks

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// DraftFor is a draft that maps what a sender sends: the definition that
// `webhooks presets` prints.
func DraftFor(p signature.Preset) (webhook.Definition, error) {
	def, err := webhook.Parse([]byte(p.Definition))
	if err != nil {
		return def, fmt.Errorf("the preset %s: %w", p.Name, err)
	}
	def.State = webhook.Draft
	return def, nil
}

// CreateSigned is Create with the secret that the sender signs with, in one save. An
// empty text has one made where the person chooses it, if there is a master key. Other
// senders show theirs once they have the URL: SetSecret takes it then.
func (s *Service) CreateSigned(ctx context.Context, def webhook.Definition, text string) (Saved, error) {
	if err := admin.Allow(ctx, def.Community, admin.AdminOf); err != nil {
		return Saved{}, err
	}
	if err := s.Check(ctx, def); err != nil {
		return Saved{}, err
	}
	made := ""
	if text == "" && def.Auth.Preset().Secret.Chosen && !s.master.IsZero() {
		var err error
		if made, err = makeSigning(def.Auth); err != nil {
			return Saved{}, err
		}
		text = made
	}
	rec := webhook.Record{ID: webhook.NewID(), Definition: def.AsNew()}
	if text != "" {
		if err := checkSigning(def.Auth, text); err != nil {
			return Saved{}, err
		}
		sealed, err := s.master.SealText(secret.SigningSecret, rec.ID, text, s.now())
		if err != nil {
			return Saved{}, err
		}
		rec.SigningSecrets = []secret.SealedText{sealed}
	}
	saved, err := s.createRecord(ctx, rec)
	saved.Secret = made
	return saved, err
}
