package webhook

import (
	"testing"

	"pgregory.net/rapid"
)

// Counting on from token to token comes to the same places as counting from the
// start.
func TestAdvanceIsPlaceOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(rapid.StringOfN(rapid.RuneFrom([]rune("a\nü{\r")), 0, 60, -1).Draw(t, "text"))
		r := jsonReader{src: src, place: placeOf(src, 0)}
		for offset := 0; offset <= len(src); offset += rapid.IntRange(1, 5).Draw(t, "step") {
			if offset < len(src) && src[offset]&0xc0 == 0x80 {
				continue // in the middle of a character no token begins
			}
			if got, want := r.advance(offset), placeOf(src, offset); got != want {
				t.Fatalf("byte %d of %q is at %+v, want %+v", offset, src, got, want)
			}
		}
	})
}
