package sealed_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// aesKey is that of testdata/make.sh.
const aesKey = "k3y-Of_32.Printable~ASCII!chars#"

func newKey(tb testing.TB, mode webhook.Encryption, text string) sealed.Key {
	tb.Helper()
	parsed, err := secret.ParseAESKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := sealed.NewKey(mode, parsed)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func testdata(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// foreignBody was made by another implementation.
type foreignBody struct {
	Mode     webhook.Encryption
	By, Body string
}

func foreignBodies(tb testing.TB, lines []byte) []foreignBody {
	tb.Helper()
	var all []foreignBody
	for scanner := bufio.NewScanner(bytes.NewReader(lines)); scanner.Scan(); {
		var b foreignBody
		if err := json.Unmarshal(scanner.Bytes(), &b); err != nil {
			tb.Fatal(err)
		}
		all = append(all, b)
	}
	if len(all) < 25 {
		tb.Fatalf("%d bodies by others, want all forms", len(all))
	}
	return all
}

// opens expects that the body gives this payload, and nothing with another key.
func opens(tb testing.TB, mode webhook.Encryption, body string, payload []byte) {
	tb.Helper()
	key, other := newKey(tb, mode, aesKey), newKey(tb, mode, strings.Repeat("o", 32))
	before := strings.Clone(body)
	raw := []byte(body)
	got, err := sealed.Open(raw, other, key)
	if err != nil || !bytes.Equal(got, payload) {
		tb.Errorf("%s: %q, %v, want %q", body, got, err, payload)
	}
	if string(raw) != before {
		tb.Error("opening changed the body")
	}
	fails(tb, body, other)
}

func fails(tb testing.TB, body string, keys ...sealed.Key) {
	tb.Helper()
	if got, err := sealed.Open([]byte(body), keys...); err != sealed.ErrDecrypt || got != nil {
		tb.Errorf("%q gives %q, %v, want ErrDecrypt", body, got, err)
	}
}
