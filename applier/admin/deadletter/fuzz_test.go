package deadletter

import (
	"bytes"
	"testing"
)

// What an import accepts is written again as the same letter.
func FuzzLine(f *testing.F) {
	f.Add([]byte(`{"id":"01920f4e-7f00-7000-8000-000000000000","community":"default","webhook_id":"wh_aaaaaaaaaaaaaaaaaaaaaaaaaa","webhook":"Shop","version":1,` +
		`"reason":"internal","detail":"","headers":[{"name":"A","value":"b"}],"payload":"","payload_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",` +
		`"edited_base64":"/w==","attempts":1,"replays":0,"received_at":"2026-01-01T00:00:00Z","failed_at":"2026-01-01T00:00:00.000001Z","executions":[` +
		`{"id":"01920f4e-7f00-7000-8000-000000000000","cause":"delivery","effect":true,"version":1,"status":"failed","attempts":1,"at":"2026-01-01T01:00:00+01:00"}]}`))
	f.Add([]byte(`{"id":"x"}`))
	f.Add([]byte(`{"payload":"\ud800"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		letter, err := decode(text)
		if err != nil {
			return
		}
		once, err := encode(letter)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(once)
		if err != nil {
			t.Fatalf("%s is refused: %v", once, err)
		}
		twice, err := encode(again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s became %s: %v", once, twice, err)
		}
	})
}
