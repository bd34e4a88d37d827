package sealed_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// FuzzOpen looks for panics, for bodies that are changed, and for bodies that
// open although nobody with the key has made them.
func FuzzOpen(f *testing.F) {
	made := map[string]bool{string(testdata(f, "payload.json")): true}
	for _, b := range foreignBodies(f, testdata(f, "foreign.jsonl")) {
		f.Add([]byte(b.Body))
	}
	f.Add([]byte(`{"iv":"","data":"","tag":null}`))
	f.Add([]byte("\"\\u0030\""))
	f.Add(bytes.Repeat([]byte("A="), 40))
	cbc, gcm := newKey(f, webhook.CBC, aesKey), newKey(f, webhook.GCM, aesKey)
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		opened, err := sealed.Open(body, gcm)
		if err == nil && !made[string(opened)] {
			t.Errorf("%q opened to %q: a forgery", body, opened)
		}
		opened, err = sealed.Open(body, cbc)
		if err == nil && !json.Valid(opened) {
			t.Errorf("%q opened to %q, which is not JSON", body, opened)
		}
		if !bytes.Equal(body, before) {
			t.Error("the body was changed")
		}
	})
}
