package redact_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/coinhook/coinhook/applier/admin/redact"
)

var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// What is valid JSON stays valid JSON, and no password is left in it wherever it
// stands. Nothing else may be said to be unchanged unless it is.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{
		`{"password":"x","a":[1,{"PASSWORD":{"b":null}}],"c":"Bearer abc123"}`,
		`{"a":"\u0042earer abc123 \"x\"","password":null}`,
		`{"password": hunter2, "a": "b`, "a=b&password=c", `"postgres://a:b@c"`, "{}[]",
		"-----BEGIN PRIVATE KEY-----\nx", "{\"pass\\u0077ord\":\"\xff\"}", `[[[[`, `{"password":`, `null null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		out, changed := redact.Payload(payload)
		if !bytes.Equal(before, payload) {
			t.Fatalf("the payload itself was changed to %q", payload)
		}
		if !changed && !bytes.Equal(out, payload) {
			t.Fatalf("changed without saying so: %q", out)
		}
		if !jsontext.Value(payload).IsValid(lenient...) {
			return
		}
		checkPasswords(t, out)

		const secret = "correct horse battery staple"
		planted, _ := redact.Payload([]byte(`{"a":` + string(payload) + `,"b":{"password":["` + secret + `"]}}`))
		checkPasswords(t, planted)
		if strings.Contains(string(planted), secret) && !strings.Contains(string(payload), secret) {
			t.Errorf("a planted secret is left in %s", planted)
		}
	})
}

func checkPasswords(t *testing.T, payload []byte) {
	t.Helper()
	d := jsontext.NewDecoder(bytes.NewReader(payload), lenient...)
	name := ""
	for {
		kind, length := d.StackIndex(d.StackDepth())
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%q is no JSON any more: %v", payload, err)
		}
		isValue := kind == '{' && length%2 == 1
		if isValue && strings.EqualFold(name, "password") && token.Kind() != 'n' && token.String() != redact.Mark {
			t.Fatalf("a password is left in %q", payload)
		}
		name = ""
		if kind == '{' && length%2 == 0 && token.Kind() == '"' {
			name = token.String()
		}
	}
}
