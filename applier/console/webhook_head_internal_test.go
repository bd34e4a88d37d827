package console

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestKeysAreListedInTheSameOrder(t *testing.T) {
	t.Parallel()
	var rec webhook.Record
	rec.SigningSecrets, rec.BasicPasswords = make([]secret.SealedText, 2), make([]secret.SealedText, 1)
	for range 20 {
		var got []string
		for _, line := range keyLines(rec, time.Now()) {
			got = append(got, line.What)
		}
		if diff := cmp.Diff([]string{"Signing secret", "Signing secret", "Password"}, got); diff != "" {
			t.Fatal(diff)
		}
	}
}
