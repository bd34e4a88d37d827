package webhooks_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// kept holds one webhook, as the broker would.
type kept struct {
	saved *broker.Saved
	saves int
}

func (k *kept) Find(context.Context, string, string) (broker.Saved, error) {
	if k.saved == nil {
		return broker.Saved{}, broker.ErrWebhookNotFound
	}
	return *k.saved, nil
}

func (k *kept) Get(context.Context, string) (broker.Saved, error) { return *k.saved, nil }

func (k *kept) Deleted(context.Context) ([]broker.Saved, error) { return nil, nil }

func (k *kept) Undelete(context.Context, broker.Saved, webhook.Record, time.Time) (broker.Saved, error) {
	return broker.Saved{}, nil
}

func (k *kept) Versions(context.Context, string) ([]broker.Saved, error) {
	return []broker.Saved{*k.saved}, nil
}

func (k *kept) RewriteVersions(context.Context, broker.Saved, broker.Rewriting) ([]int, error) {
	return nil, nil
}

func (k *kept) Unreadable(context.Context) ([]broker.Unreadable, error) { return nil, nil }

func (k *kept) DeleteUnreadable(context.Context, string, time.Time) (broker.Saved, error) {
	return broker.Saved{}, broker.ErrWebhookNotFound
}

func (k *kept) List(context.Context) ([]broker.Saved, error) { return []broker.Saved{*k.saved}, nil }

func (k *kept) Create(_ context.Context, rec webhook.Record, now time.Time) (broker.Saved, error) {
	rec.Version, rec.CreatedAt = 1, now
	k.saved = &broker.Saved{Record: rec, Revision: 1}
	k.saves++
	return *k.saved, nil
}

func (k *kept) Rename(context.Context, broker.Saved, string, time.Time) (broker.Saved, error) {
	panic("nobody renames it")
}

func (k *kept) Update(_ context.Context, s broker.Saved, _ time.Time) (broker.Saved, error) {
	s.Version++
	s.Revision++
	k.saved = &s
	k.saves++
	return s, nil
}

// desk is an admin's service with a clock that the test sets.
type desk struct {
	*webhooks.Service
	kept   kept
	now    time.Time
	master secret.MasterKey
}

// nothingMore is a community with nothing of its own.
func nothingMore(context.Context, string) (*applier.Community, error) {
	return &applier.Community{}, nil
}

func newDesk(tb testing.TB) *desk {
	tb.Helper()
	master, err := secret.ParseMasterKey(strings.Repeat("m", 42) + "A")
	if err != nil {
		tb.Fatal(err)
	}
	d := &desk{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), master: master}
	d.Service = webhooks.New(&d.kept, nothingMore, func() time.Time { return d.now }, master)
	return d
}

func (d *desk) apply(tb testing.TB, mode webhook.Encryption) webhooks.Saved {
	tb.Helper()
	saved, err := d.Apply(tb.Context(), webhook.Definition{Name: "Shop", Community: "default", State: webhook.Draft, Encryption: mode})
	if err != nil {
		tb.Fatal(err)
	}
	return saved
}

func (d *desk) set(tb testing.TB, mode webhook.Encryption, key string, overlap time.Duration) webhooks.Saved {
	tb.Helper()
	var parsed secret.AESKey
	if key != "" {
		var err error
		if parsed, err = secret.ParseAESKey(key); err != nil {
			tb.Fatal(err)
		}
	}
	saved, err := d.SetEncryption(tb.Context(), *d.kept.saved, mode, parsed, overlap)
	if err != nil {
		tb.Fatal(err)
	}
	return saved
}

// keys are those valid now, newest first, each with its mode.
func (d *desk) keys(tb testing.TB) []string {
	tb.Helper()
	var all []string
	for _, k := range d.kept.saved.AESKeys {
		key, err := d.master.Unseal(d.kept.saved.ID, k)
		if err != nil {
			tb.Fatal(err)
		}
		if k.Valid(d.now) {
			all = append(all, k.Mode+" "+key.Reveal())
		}
	}
	return all
}

func (d *desk) expect(tb testing.TB, what string, want ...string) {
	tb.Helper()
	if diff := cmp.Diff(want, d.keys(tb)); diff != "" {
		tb.Errorf("%s: keys (-want +got):\n%s", what, diff)
	}
}

var (
	keyA = strings.Repeat("A", 32)
	keyB = strings.Repeat("B", 32)
)

func TestApplyMakesTheFirstKey(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	created := d.apply(t, webhook.GCM)
	first := created.AESKey.Reveal()
	d.expect(t, "created", "gcm "+first)
	if again := d.apply(t, webhook.GCM); again.Change != webhooks.Unchanged || !again.AESKey.IsZero() || d.kept.saves != 1 {
		t.Errorf("applied again: %+v", again)
	}
	if changed := d.apply(t, webhook.CBC); changed.Change != webhooks.Updated || !changed.AESKey.IsZero() {
		t.Errorf("a new mode made a new key: %+v", changed)
	}
	d.expect(t, "a new mode", "cbc "+first, "gcm "+first)
	d.now = d.now.Add(24 * time.Hour)
	d.expect(t, "a day later", "cbc "+first)

	d.apply(t, webhook.NoEncryption)
	d.expect(t, "off")
	if n := len(d.kept.saved.AESKeys); n != 2 {
		t.Errorf("%d keys kept for what was accepted before, want 2", n)
	}
	on := d.apply(t, webhook.GCM)
	if on.AESKey.IsZero() || on.AESKey.Reveal() == first {
		t.Error("a key that was switched off has come back")
	}
	d.expect(t, "on again", "gcm "+on.AESKey.Reveal())
}

func TestSetEncryption(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.apply(t, webhook.NoEncryption)
	if off := d.set(t, webhook.NoEncryption, "", 0); off.Change != webhooks.Unchanged {
		t.Errorf("off was changed to off: %+v", off)
	}
	if given := d.set(t, webhook.GCM, keyA, 24*time.Hour); !given.AESKey.IsZero() || given.Encryption != webhook.GCM {
		t.Errorf("a key that was given is shown as made: %+v", given)
	}
	d.expect(t, "a given key", "gcm "+keyA)
	if same := d.set(t, webhook.GCM, keyA, 24*time.Hour); same.Change != webhooks.Unchanged {
		t.Errorf("the same key again: %+v", same)
	}
	d.set(t, webhook.CBC, keyB, 24*time.Hour)
	d.expect(t, "another key and mode", "cbc "+keyB, "gcm "+keyA)
	d.now = d.now.Add(23 * time.Hour)
	made := d.set(t, webhook.CBC, "", 48*time.Hour)
	d.expect(t, "a made key", "cbc "+made.AESKey.Reveal(), "cbc "+keyB, "gcm "+keyA)
	d.now = d.now.Add(time.Hour)
	d.expect(t, "a longer overlap does not lengthen an earlier one", "cbc "+made.AESKey.Reveal(), "cbc "+keyB)
	d.set(t, webhook.CBC, made.AESKey.Reveal(), 0)
	d.expect(t, "the same key without an overlap ends the others", "cbc "+made.AESKey.Reveal())
	d.set(t, webhook.GCM, keyA, 0)
	d.expect(t, "no overlap", "gcm "+keyA)
	d.set(t, webhook.NoEncryption, "", 24*time.Hour)
	d.expect(t, "off")
	if d.kept.saved.Encryption != webhook.NoEncryption {
		t.Errorf("encryption is %s", d.kept.saved.Encryption)
	}
	for range 30 {
		d.set(t, webhook.GCM, "", time.Hour)
	}
	if n := len(d.kept.saved.AESKeys); n != 20 {
		t.Errorf("%d keys kept, want 20", n)
	}
	if err := d.Delete(t.Context(), *d.kept.saved); err != nil || len(d.kept.saved.AESKeys) != 0 {
		t.Errorf("deleted with %d keys, %v", len(d.kept.saved.AESKeys), err)
	}
}

// A webhook that was set so could not be compiled, and would take no request.
func TestAQueryCannotBeEncrypted(t *testing.T) {
	t.Parallel()
	for name, def := range map[string]webhook.Definition{
		"by the definition": {Receive: &webhook.Receive{Payload: webhook.PayloadQuery}},
		"by the preset":     {Auth: webhook.Auth{Signature: &webhook.Signature{Preset: "levelplay"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			def.Name, def.Community, def.State, def.Encryption = "Ads", "default", webhook.Draft, webhook.NoEncryption
			if _, err := d.Apply(t.Context(), def); err != nil {
				t.Fatal(err)
			}
			_, err := d.SetEncryption(t.Context(), *d.kept.saved, webhook.GCM, secret.AESKey{}, time.Hour)
			if problems, ok := errors.AsType[webhook.Errors](err); !ok || !strings.Contains(problems.Error(), "a query is none") || d.kept.saves != 1 {
				t.Errorf("%v, saved %d times", err, d.kept.saves)
			}
			// One that was saved by an older version can be mended.
			d.kept.saved.Encryption = webhook.GCM
			if off := d.set(t, webhook.NoEncryption, "", 0); off.Encryption != webhook.NoEncryption {
				t.Errorf("encryption is %s", off.Encryption)
			}
		})
	}
}

func TestWithoutAMasterKey(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Service = webhooks.New(&d.kept, nothingMore, func() time.Time { return d.now }, secret.MasterKey{})
	def := webhook.Definition{Name: "Shop", Community: "default", State: webhook.Draft, Encryption: webhook.GCM}
	if _, err := d.Apply(t.Context(), def); !errors.Is(err, secret.ErrNoMasterKey) || d.kept.saved != nil {
		t.Errorf("created: %v", err)
	}
	d.apply(t, webhook.NoEncryption)
	if _, err := d.SetEncryption(t.Context(), *d.kept.saved, webhook.CBC, secret.AESKey{}, 0); !errors.Is(err, secret.ErrNoMasterKey) || d.kept.saves != 1 {
		t.Errorf("set: %v", err)
	}
}
