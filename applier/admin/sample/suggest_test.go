package sample_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func list(t testing.TB, payload string) []sample.Suggestion {
	t.Helper()
	all, failure := sample.Suggest([]byte(payload))
	if failure != nil {
		t.Fatalf("%s: %s", payload, failure.Detail)
	}
	return all
}

// line writes a suggestion as path, use and value.
func line(s sample.Suggestion) string {
	use := "-"
	if s.Use != nil {
		use = string(*s.Use)
	}
	return s.Path + " " + use + " " + s.Kind + " " + s.Value
}

func TestLikelyOnesComeFirst(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range list(t, `{
		"id": 77, "type": "order.paid", "livemode": true, "note": null, "created": 1732370000,
		"order": {"totalPoints": 1.50e2, "weight": 12, "price": "12.50", "sku-1": {"": "x"}, "html_url": "https://a.example/@b"},
		"customer": {"email": "Ada@example.com", "contact": "ops@example.com", "user_name": "ada", "name": "Ada L"},
		"sender": {"login": "octocat"}, "items": [{"qty": 2}]}`) {
		got = append(got, line(s))
	}
	want := []string{
		"customer.email email string Ada@example.com",
		"customer.contact email string ops@example.com",
		"customer.user_name username string ada",
		"sender.login username string octocat",
		"order.totalPoints amount number 1.50e2",
		"items[0].qty amount number 2",
		"order.price amount string 12.50",
		"order.weight amount number 12",
		"id - number 77",
		"type - string order.paid",
		"livemode - boolean true",
		"note - null null",
		"created - number 1732370000",
		"order['sku-1'][''] - string x",
		"order.html_url - string https://a.example/@b",
		"customer.name - string Ada L",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNumbersAreExactAndStringsShort(t *testing.T) {
	t.Parallel()
	number := "1" + strings.Repeat("0", 500) + ".10e-3"
	all := list(t, `{"n": `+number+`, "s": "`+strings.Repeat("é", 201)+`"}`)
	if all[0].Value != number {
		t.Errorf("the number is %s", all[0].Value)
	}
	if s := all[1].Value; utf8.RuneCountInString(s) != 200 || !strings.HasSuffix(s, "é…") {
		t.Errorf("the string is %q", s)
	}
	if got := admin.Shorten("abc", 3); got != "abc" {
		t.Errorf("what fits is cut to %q", got)
	}
}

func TestScalarAlone(t *testing.T) {
	t.Parallel()
	if all := list(t, " 12 "); len(all) != 1 || all[0].Path != "$" || all[0].Value != "12" {
		t.Errorf("%+v", all)
	}
}

func TestWhatIsNoPayloadIsRefused(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "{", `{"a":1,"a":2}`, "{} {}", "\xff", strings.Repeat("[", 65) + strings.Repeat("]", 65)} {
		if _, failure := sample.Suggest([]byte(payload)); failure == nil || failure.Reason != "invalid_json" {
			t.Errorf("%q: %+v", payload, failure)
		}
	}
}

// checkPaths has a mapping's conditions look up each path: they hold only if the
// value at the path is the one that was suggested.
func checkPaths(t testing.TB, payload []byte) {
	t.Helper()
	scalars, failure := mapping.Scalars(payload)
	if failure != nil {
		return
	}
	all, failure := sample.Suggest(payload)
	all = slices.DeleteFunc(all, func(s sample.Suggestion) bool { return s.Mapping != nil })
	if failure != nil || len(all) != len(scalars) {
		t.Fatalf("%d suggestions of %d scalars, %v", len(all), len(scalars), failure)
	}
	one := "1"
	def := webhook.Definition{
		Name: "Paths", User: &webhook.UserRef{By: webhook.ByEmail, Path: "$"},
		Mappings: []webhook.Mapping{{Currency: "xp", Operator: webhook.Add, Value: webhook.Value{Constant: &one}}},
	}
	for _, s := range scalars {
		i := slices.IndexFunc(all, func(a sample.Suggestion) bool { return a.Path == s.Path.Text() })
		if i < 0 {
			t.Fatalf("%s is not suggested", s.Path.Text())
		}
		def.When = append(def.When, webhook.Condition{Path: all[i].Path, Equals: s.Value})
	}
	w, err := webhook.Compile(webhook.Record{Definition: def}, 1)
	if err != nil {
		t.Fatalf("a suggested path cannot be used: %v", err)
	}
	plan, _ := mapping.Evaluate(w, mapping.Input{Body: payload, Header: func(string) (string, bool) { return "", false }}, &applier.Community{})
	if plan.Skip {
		t.Errorf("some path of %s has another value", payload)
	}
}

func TestEachPathEvaluatesToItsValue(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"testdata/*.json", "../../mapping/testdata/*.json"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, names...)
	}
	if len(files) < 4 {
		t.Fatalf("only %d bodies", len(files))
	}
	for _, name := range files {
		payload, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		checkPaths(t, payload)
	}
}

func TestEachPathEvaluatesToItsValueWhateverTheNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.String().Filter(utf8.ValidString), func(s string) string { return s }).Draw(rt, "names")
		var b strings.Builder
		b.WriteString("[{")
		for i, n := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			text, err := webhook.String(n).MarshalJSON()
			if err != nil {
				rt.Fatal(err)
			}
			b.Write(text)
			b.WriteString(`:[`)
			b.Write(text)
			b.WriteString(`,1.0]`)
		}
		b.WriteString("}]")
		checkPaths(t, []byte(b.String()))
	})
}

func TestRealBodies(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"testdata/issue_comment.created.json":              "sender.login username",
		"testdata/marketplace_purchase.purchased.json":     "sender.email email",
		"testdata/invoice.paid.json":                       "amount",
		"../../mapping/testdata/pull_request.closed.json":  "pull_request.user.login username",
		"../../mapping/testdata/pull_request.closed.json ": "pull_request.changed_files amount",
	} {
		payload, err := os.ReadFile(strings.TrimSpace(file))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list(t, string(payload)), func(s sample.Suggestion) bool { return strings.Contains(line(s), want) }) {
			t.Errorf("%s: nothing like %q", file, want)
		}
	}
}

func FuzzFor(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b c":null}],"é":"x","\u202e":true}`))
	f.Fuzz(func(t *testing.T, payload []byte) { checkPaths(t, payload) })
}
