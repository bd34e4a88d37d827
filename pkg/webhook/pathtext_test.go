package webhook_test

import (
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestPathTo(t *testing.T) {
	t.Parallel()
	for want, segments := range map[string][]webhook.Segment{
		"$":                        nil,
		"order.coins":              {name("order"), name("coins")},
		"items[0].sku":             {name("items"), index(0), name("sku")},
		"a['odd key'].b":           {name("a"), name("odd key"), name("b")},
		"$['order-id']":            {name("order-id")},
		"$[-1].x":                  {index(-1), name("x")},
		"größe['0'][0]":            {name("größe"), name("0"), index(0)},
		`a['it\'s \\ \n']`:         {name("a"), name("it's \\ \n")},
		`a['']`:                    {name("a"), name("")},
		`a['\u202e\u007f']`:        {name("a"), name("\u202e\x7f")},
		`a['😀\udb40\udc01']`:       {name("a"), name("😀\U000E0001")},
		`a.b1['1b']['$']['x.y'].c`: {name("a"), name("b1"), name("1b"), name("$"), name("x.y"), name("c")},
	} {
		path := webhook.PathTo(segments...)
		if path.Text() != want {
			t.Errorf("written as %s, want %s", path.Text(), want)
		}
		if read, err := webhook.ParsePath(path.Text()); err != nil || !read.Equal(path) {
			t.Errorf("%s is read as %s, %v", want, read, err)
		}
	}
}

func TestPathToIsReadBack(t *testing.T) {
	t.Parallel()
	segment := rapid.Custom(func(t *rapid.T) webhook.Segment {
		if rapid.Bool().Draw(t, "index?") {
			return index(rapid.Int64Range(-1<<53+1, 1<<53-1).Draw(t, "index"))
		}
		return name(rapid.String().Filter(utf8.ValidString).Draw(t, "name"))
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(segment).Draw(t, "segments")
		text := webhook.PathTo(want...).Text()
		read, err := webhook.ParsePath(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(webhook.PathTo(want...).Segments(), read.Segments()); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}
