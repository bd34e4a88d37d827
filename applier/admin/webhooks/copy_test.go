package webhooks_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const shop = "name: Shop\nstate: active\nauth: {api_key: true, signature: github}\nuser: {by: email, path: e}\nmappings:\n  - {currency: xp, operator: add, value: {path: xp}}\n"

// realDesk keeps webhooks in a broker.
func realDesk(t *testing.T) (*webhooks.Service, func(src string) webhooks.Saved) {
	t.Helper()
	master, err := secret.ParseMasterKey(strings.Repeat("m", 42) + "A")
	if err != nil {
		t.Fatal(err)
	}
	s := webhooks.New(broker.NewDefinitions(brokertest.Start(t).ConnectSetUp()), nothingMore, time.Now().UTC, master)
	return s, func(src string) webhooks.Saved {
		t.Helper()
		def, err := s.ParseIn(t.Context(), []byte(src), "default")
		if err != nil {
			t.Fatal(err)
		}
		saved, err := s.Apply(t.Context(), def)
		if err != nil {
			t.Fatal(err)
		}
		return saved
	}
}

func TestARenamedWebhookKeepsAllButItsName(t *testing.T) {
	t.Parallel()
	d, apply := realDesk(t)
	made := apply(shop)
	apply(strings.Replace(shop, "Shop", "Other", 1))
	renamed, err := d.Rename(t.Context(), made.Saved, "Store")
	if err != nil {
		t.Fatal(err)
	}
	if renamed.ID != made.ID || renamed.Name != "Store" || renamed.State != webhook.Active || len(renamed.APIKeys) != 1 || renamed.APIKeys[0] != made.APIKeys[0] {
		t.Errorf("%+v", renamed)
	}
	if _, err := d.Rename(t.Context(), renamed.Saved, "Other"); !errors.Is(err, webhooks.ErrNameTaken) {
		t.Errorf("to a name that is taken: %v", err)
	}
	var problems webhook.Errors
	if _, err := d.Rename(t.Context(), renamed.Saved, ""); !errors.As(err, &problems) || problems[0].Field != "name" {
		t.Errorf("to no name: %v", err)
	}
	if _, err := d.Rename(t.Context(), made.Saved, "Third"); !errors.Is(err, webhooks.ErrConflict) {
		t.Errorf("of what was read before: %v", err)
	}
}

func TestADuplicateIsADraftWithKeysOfItsOwn(t *testing.T) {
	t.Parallel()
	d, apply := realDesk(t)
	made := apply(shop)
	if _, err := d.SetSecret(t.Context(), made.Saved, webhooks.OfSignature, "hunter2", 0); err != nil {
		t.Fatal(err)
	}
	of, err := d.Find(t.Context(), "default", made.ID)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := d.Duplicate(t.Context(), of, "Shop 2")
	if err != nil {
		t.Fatal(err)
	}
	if twin.ID == made.ID || twin.State != webhook.Draft || twin.Version != 1 || len(twin.Mappings) != 1 || twin.User != of.User || !twin.Auth.APIKey {
		t.Errorf("%+v", twin)
	}
	if len(of.SigningSecrets) != 1 || len(twin.SigningSecrets) != 0 || twin.APIKey == "" || twin.APIKeys[0] == of.APIKeys[0] {
		t.Errorf("its secrets are %v and %v, its key %q", twin.SigningSecrets, twin.APIKeys, twin.APIKey)
	}
	if _, err := d.Duplicate(t.Context(), of, "Shop"); !errors.Is(err, webhooks.ErrNameTaken) {
		t.Errorf("with a name that is taken: %v", err)
	}
}

func TestAnEditorNeitherRenamesNorDuplicates(t *testing.T) {
	t.Parallel()
	d, apply := realDesk(t)
	made := apply(shop)
	ctx := admin.WithActor(t.Context(), admin.Actor{Who: "eva", Grants: admin.Grants{"default": admin.Editor, "guild": admin.AdminOf}}, admin.Viewer)
	var refused *admin.NotAllowedError
	if _, err := d.Rename(ctx, made.Saved, "Store"); !errors.As(err, &refused) {
		t.Errorf("rename: %v", err)
	}
	if _, err := d.Duplicate(ctx, made.Saved, "Store"); !errors.As(err, &refused) {
		t.Errorf("duplicate: %v", err)
	}
}
