package webhooks_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// A change of a webhook needs the right for what it changes, and what is elsewhere does not
// exist, whichever function asks for it.
func TestWhatChangesOfAWebhookNeed(t *testing.T) {
	t.Parallel()
	definitions := broker.NewDefinitions(brokertest.Start(t).ConnectSetUp())
	s := webhooks.New(definitions, nothingMore, func() time.Time { return time.Now().UTC() }, masterKey(t, 1))
	def, err := s.ParseIn(t.Context(), []byte(`{name: Shop, community: shop, state: active, auth: {}, user: {by: email, path: user},
mappings: [{currency: coins, operator: add, value: {path: coins}}]}`), "shop")
	if err != nil {
		t.Fatal(err)
	}
	saved, err := s.Apply(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	as := func(community string, right admin.Right) context.Context {
		return admin.WithActor(t.Context(), admin.Actor{Grants: admin.Grants{community: right}}, admin.Viewer)
	}
	next := func(ctx context.Context, change func(*webhook.Definition)) error {
		w, err := s.Find(ctx, "", saved.ID)
		if err != nil {
			return err
		}
		def := w.Definition
		change(&def)
		plan, err := s.PlanNext(w, def)
		if err != nil {
			return err
		}
		_, err = s.ApplyPlanned(ctx, plan)
		return err
	}
	for _, tc := range []struct {
		what  string
		needs admin.Right
		do    func(ctx context.Context) error
	}{
		{"look", admin.Viewer, func(ctx context.Context) error { _, err := s.Find(ctx, "shop", "Shop"); return err }},
		{"versions", admin.Viewer, func(ctx context.Context) error { _, err := s.Versions(ctx, saved.ID); return err }},
		{"a version", admin.Viewer, func(ctx context.Context) error { _, err := s.Version(ctx, saved.ID, 1); return err }},
		{"by its fingerprint", admin.Viewer, func(ctx context.Context) error {
			_, err := s.ByFingerprint(ctx, webhook.Fingerprint(saved.ID))
			return err
		}},
		{"the mapping", admin.Editor, func(ctx context.Context) error {
			return next(ctx, func(d *webhook.Definition) { d.User = &webhook.UserRef{By: webhook.ByEmail, Path: "email"} })
		}},
		{"pause", admin.Editor, func(ctx context.Context) error {
			w, err := s.Find(ctx, "", saved.ID)
			if err == nil {
				_, err = s.Pause(ctx, w)
			}
			return err
		}},
		{"the rate", admin.AdminOf, func(ctx context.Context) error {
			return next(ctx, func(d *webhook.Definition) { d.Receive = &webhook.Receive{Rate: "5/s"} })
		}},
		{"disable", admin.AdminOf, func(ctx context.Context) error {
			w, err := s.Find(ctx, "", saved.ID)
			if err == nil {
				_, err = s.SetState(ctx, w, webhook.Disabled)
			}
			return err
		}},
		{"enable", admin.AdminOf, func(ctx context.Context) error {
			w, err := s.Find(ctx, "", saved.ID)
			if err == nil {
				_, err = s.SetState(ctx, w, webhook.Active)
			}
			return err
		}},
		{"an API key", admin.AdminOf, func(ctx context.Context) error {
			return next(ctx, func(d *webhook.Definition) { d.Auth.APIKey = true })
		}},
		{"another key", admin.AdminOf, func(ctx context.Context) error {
			w, err := s.Find(ctx, "", saved.ID)
			if err == nil {
				_, err = s.RotateKey(ctx, w, time.Hour)
			}
			return err
		}},
		{"encryption", admin.AdminOf, func(ctx context.Context) error {
			w, err := s.Find(ctx, "", saved.ID)
			if err == nil {
				_, err = s.SetEncryption(ctx, w, webhook.GCM, secret.AESKey{}, 0)
			}
			return err
		}},
		{"delete", admin.AdminOf, func(ctx context.Context) error {
			w, err := s.Find(ctx, "", saved.ID)
			if err == nil {
				err = s.Delete(ctx, w)
			}
			return err
		}},
		{"undelete", admin.AdminOf, func(ctx context.Context) error {
			w, err := s.FindEver(ctx, "", saved.ID)
			if err == nil {
				_, err = s.Undelete(ctx, w)
			}
			return err
		}},
	} {
		if err := tc.do(as("game", admin.AdminOf)); !errors.Is(err, webhooks.ErrNotFound) {
			t.Errorf("%s, by an admin of another community: %v", tc.what, err)
		}
		var refused *admin.NotAllowedError
		if below := tc.needs - 1; below > admin.NoRight {
			if err := tc.do(as("shop", below)); !errors.As(err, &refused) || refused.Needs != tc.needs {
				t.Errorf("%s, by a %s: %v", tc.what, below, err)
			}
		}
		if err := tc.do(as("shop", tc.needs)); err != nil {
			t.Errorf("%s, by a %s: %v", tc.what, tc.needs, err)
		}
	}
	var refused *admin.NotAllowedError
	if _, err := s.DeleteUnreadable(as(admin.Everywhere, admin.AdminOf), saved.ID); !errors.As(err, &refused) {
		t.Errorf("a record that nobody can read is for owners: %v", err)
	}
	if all, err := s.List(as("game", admin.AdminOf), ""); err != nil || len(all) != 0 {
		t.Errorf("the list: %v, %v", all, err)
	}
}
