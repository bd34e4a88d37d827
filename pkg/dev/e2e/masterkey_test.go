package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// Services that have both master keys serve on while every secret is sealed under the
// new one. Then nothing needs the old one any more.
func TestAMasterKeyIsRotatedBelowRunningServices(t *testing.T) {
	t.Parallel()
	oldKey, newKey := randomKey(t), randomKey(t)
	w := newStackOf(t, devstack.Options{MasterKey: oldKey + "," + newKey}).newWorld(t, "ann")
	h := w.encrypted(t, "gcm")
	sealed := hex.EncodeToString(seal(t, "gcm", h.AESKey, coinsBody("ann", "1")).blob())
	wantApplied(t, w.settled(t, h.deliver(t, sealed, "X-Encrypted", "true")))

	withKey := func(key string) map[string]string {
		env := maps.Clone(w.Env())
		env["COINHOOK_MASTER_KEY"] = key
		return env
	}
	if r := run(t, w.Dir(), withKey(newKey), "{}", "encrypt", h.ID, "-f", "-"); r.code != 1 {
		t.Errorf("the new key opens what the old one sealed: %+v", r)
	}
	var done struct {
		Secrets int
		Left    []any
	}
	r := run(t, w.Dir(), withKey(newKey), oldKey+"\n", "secrets", "rotate", "--old-key-stdin", "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &done); r.code != 0 || err != nil || done.Secrets != 1 || len(done.Left) != 0 {
		t.Fatalf("rotated: %+v", r)
	}
	wantApplied(t, w.settled(t, h.deliver(t, sealed, "X-Encrypted", "true")))
	if r := run(t, w.Dir(), withKey(newKey), "{}", "encrypt", h.ID, "-f", "-"); r.code != 0 {
		t.Errorf("with the new key alone: %+v", r)
	}
	if r := run(t, w.Dir(), withKey(oldKey), "{}", "encrypt", h.ID, "-f", "-"); r.code != 1 {
		t.Errorf("with the old key alone: %+v", r)
	}
	w.wantBalances(t, "ann", "2", "0")
}

func randomKey(t *testing.T) string {
	t.Helper()
	return base64.StdEncoding.EncodeToString(randomBytes(t, 32))
}
