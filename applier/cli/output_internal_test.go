package cli

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestJSONActsOnNoTerminal: a sender chooses some of what is printed, and U+009B begins
// a control sequence as ESC [ does.
func TestJSONActsOnNoTerminal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune{0x7f, 0x80, 0x9b, 0x9f, 0xa0, 'ä', '\u2028', '"', '\\', '\x1b'}))).Draw(t, "text")
		var one, many bytes.Buffer
		a := &app{Process: Process{Stdout: &one}}
		if err := a.printJSON(map[string]string{"payload": text}); err != nil {
			t.Fatal(err)
		}
		a.Stdout = &many
		array := a.newJSONArray()
		if err := array.add(map[string]string{"payload": text}); err != nil {
			t.Fatal(err)
		}
		if err := array.close(); err != nil {
			t.Fatal(err)
		}
		for _, out := range []string{one.String(), many.String()} {
			for _, r := range out {
				if r != '\n' && r < ' ' || r >= 0x7f && r < 0xa0 {
					t.Fatalf("%q is written as %q", text, out)
				}
			}
		}
		var back map[string]string
		var backs []map[string]string
		if err := json.Unmarshal(one.Bytes(), &back); err != nil || back["payload"] != text {
			t.Fatalf("%q is read as %q, %v", text, back["payload"], err)
		}
		if err := json.Unmarshal(many.Bytes(), &backs); err != nil || len(backs) != 1 || backs[0]["payload"] != text {
			t.Fatalf("%q is read as %v, %v", text, backs, err)
		}
	})
}
