package webhooks_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func masterKey(tb testing.TB, bytesOf ...byte) secret.MasterKey {
	tb.Helper()
	texts := make([]string, len(bytesOf))
	for i, b := range bytesOf {
		texts[i] = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
	}
	key, err := secret.ParseMasterKey(strings.Join(texts, ","))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func encryptedDraft(name string) webhook.Definition {
	return webhook.Definition{Name: name, Community: "default", State: webhook.Draft, Encryption: webhook.GCM}
}

// cutShort ends a rotation after some writes to the bucket.
type cutShort struct {
	*broker.Definitions
	writes int
	cancel context.CancelFunc
}

func (c *cutShort) wrote() {
	if c.writes--; c.writes == 0 {
		c.cancel()
	}
}

func (c *cutShort) Update(ctx context.Context, s broker.Saved, now time.Time) (broker.Saved, error) {
	saved, err := c.Definitions.Update(ctx, s, now)
	c.wrote()
	return saved, err
}

func (c *cutShort) RewriteVersions(ctx context.Context, newest broker.Saved, change broker.Rewriting) ([]int, error) {
	calls := map[int]int{}
	return c.Definitions.RewriteVersions(ctx, newest, func(rec webhook.Record) (webhook.Record, bool) {
		if calls[rec.Version]++; calls[rec.Version] == 2 { // the second time it is written
			c.wrote()
		}
		return change(rec)
	})
}

// TestARotationGoesOnWhereItWasCutShort, wherever that was.
func TestARotationGoesOnWhereItWasCutShort(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	defs := broker.NewDefinitions(server.ConnectSetUp())
	now := func() time.Time { return time.Now().UTC() }
	before := webhooks.New(defs, nothingMore, now, masterKey(t, 'o'))
	var ids []string
	for _, name := range []string{"Shop", "Game"} {
		saved, err := before.Apply(t.Context(), encryptedDraft(name))
		for range 3 {
			if err == nil {
				saved, err = before.SetEncryption(t.Context(), saved.Saved, webhook.GCM, secret.AESKey{}, time.Hour)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, saved.ID)
	}
	total := 0
	for writes := 1; ; writes++ {
		ctx, cancel := context.WithCancel(t.Context())
		cut := &cutShort{Definitions: defs, writes: writes, cancel: cancel}
		done, err := webhooks.New(cut, nothingMore, now, masterKey(t, 'n', 'o')).RotateSecrets(ctx)
		cancel()
		total += done.Secrets
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) || writes > 20 {
			t.Fatalf("cut short after %d writes: %v", writes, err)
		}
	}
	if total < 2*(1+2+3+4) {
		t.Errorf("%d secrets were sealed again in sum, want all 20", total)
	}
	after := masterKey(t, 'n')
	for _, id := range ids {
		versions, err := defs.Versions(t.Context(), id)
		if err != nil || len(versions) != 4 {
			t.Fatalf("versions of %s: %d, %v", id, len(versions), err)
		}
		for _, v := range versions {
			for _, key := range v.AESKeys {
				if _, err := after.Unseal(id, key); err != nil {
					t.Errorf("version %d: %v", v.Version, err)
				}
			}
		}
	}
	if messages, _ := server.BucketMessages(); slices.ContainsFunc(messages, func(m []byte) bool { return bytes.Contains(m, []byte(sealedUnder(t, 'o'))) }) {
		t.Error("the bucket still has what the old key sealed")
	}
}

// sealedUnder is how texts begin that a master key has sealed.
func sealedUnder(tb testing.TB, b byte) string {
	tb.Helper()
	kept, err := masterKey(tb, b).Seal("wh", secret.NewAESKey(), "gcm", time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return kept.Sealed[:strings.LastIndex(kept.Sealed, ".")]
}

// TestARotationGoesOnWhileOthersSave: the console and others have both keys.
func TestARotationGoesOnWhileOthersSave(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	defs := broker.NewDefinitions(server.ConnectSetUp())
	now := func() time.Time { return time.Now().UTC() }
	both := webhooks.New(defs, nothingMore, now, masterKey(t, 'n', 'o'))
	saved, err := webhooks.New(defs, nothingMore, now, masterKey(t, 'o')).Apply(t.Context(), encryptedDraft("Shop"))
	if err != nil {
		t.Fatal(err)
	}
	const saves = 30
	others := make(chan error, 1)
	go func() {
		for n := 0; n < saves; {
			w, err := defs.Get(t.Context(), saved.ID)
			if err == nil {
				_, err = both.SetState(t.Context(), w, []webhook.State{webhook.Disabled, webhook.Draft}[n%2])
			}
			if errors.Is(err, broker.ErrConflict) {
				continue
			}
			if err != nil {
				others <- err
				return
			}
			n++
		}
		others <- nil
	}()
	for {
		if _, err := both.RotateSecrets(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err = <-others:
		default:
			continue
		}
		break
	}
	if _, errAgain := both.RotateSecrets(t.Context()); errors.Join(err, errAgain) != nil {
		t.Fatal(err, errAgain)
	}
	versions, err := defs.Versions(t.Context(), saved.ID)
	if err != nil || len(versions) != saves+1 {
		t.Errorf("%d versions, want %d; %v", len(versions), saves+1, err)
	}
	for i, v := range versions {
		if _, err := masterKey(t, 'n').Unseal(v.ID, v.AESKeys[0]); err != nil || v.Version != saves+1-i {
			t.Errorf("version %d: %v", v.Version, err)
		}
	}
}
