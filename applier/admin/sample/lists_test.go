package sample_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func suggestedLists(t *testing.T, payload string) []sample.Suggestion {
	t.Helper()
	all, failure := sample.Suggest([]byte(payload))
	if failure != nil {
		t.Fatal(failure)
	}
	var lists []sample.Suggestion
	for _, s := range all {
		if s.Mapping != nil {
			lists = append(lists, s)
		}
	}
	return lists
}

func TestLinesOfAnOrderAreSuggested(t *testing.T) {
	t.Parallel()
	lists := suggestedLists(t, `{"id":1,"order":{"line_items":[
		{"id":7,"sku":"gems_500","quantity":2,"refunded":false,"price":{"amount":"4.99"}},
		{"id":8,"sku":"gems_1200","quantity":1,"refunded":true,"price":{"amount":"9.99"}},
		{"id":9,"sku":null,"quantity":1}],
		"notes":[{"text":"hi"}],"tags":["a","b"],"boxes":[{"parts":[{"sku":"x"}]}]}}`)
	if len(lists) != 1 || lists[0].Path != "order.line_items" || lists[0].Value != "3 elements" || *lists[0].Use != sample.Each {
		t.Fatalf("got %+v", lists)
	}
	want := `currency: coins
operator: add
each: order.line_items
when:
  - {path: refunded, not_equals: true}
value:
  path: sku
  lookup:
    gems_1200: "0"
    gems_500: "0"
  times: {path: quantity}`
	if diff := cmp.Diff(want, *lists[0].Mapping); diff != "" {
		t.Errorf("mapping (-want +got):\n%s", diff)
	}
}

// The values at a path are those of all lines, each once.
func TestValuesAtAPath(t *testing.T) {
	t.Parallel()
	const payload = `{"plan":"gold","lines":[{"sku":"a","n":1},{"sku":"b"},{"sku":"a"},{"sku":null},{"parts":[{"sku":"c"}]}],"tags":["x","y"]}`
	for _, tc := range []struct {
		each, path string
		want       []string
	}{
		{"lines", "sku", []string{"a", "b"}},
		{"$.lines", "$['sku']", []string{"a", "b"}},
		{"lines[4].parts", "sku", []string{"c"}},
		{"tags", "$", []string{"x", "y"}},
		{"", "plan", []string{"gold"}},
		{"", "lines[0].n", []string{"1"}},
		{"plan", "sku", nil},
		{"lines", "nothing", nil},
		{"lines[", "sku", nil},
		{"lines", "sku[", nil},
	} {
		if diff := cmp.Diff(tc.want, sample.ValuesAt([]byte(payload), tc.each, tc.path)); diff != "" {
			t.Errorf("%q of %q (-want +got):\n%s", tc.path, tc.each, diff)
		}
	}
}

// Refunds count where the sender says what is left of a quantity.
func TestLinesCountWhatIsLeftOfThem(t *testing.T) {
	t.Parallel()
	lists := suggestedLists(t, `{"line_items":[{"sku":"gems_500","quantity":2,"current_quantity":0}]}`)
	if len(lists) != 1 || !strings.HasSuffix(*lists[0].Mapping, "times: {path: current_quantity}") {
		t.Errorf("got %+v", lists)
	}
}

// TestSuggestedMappingsCanBeApplied: of real payloads, too.
func TestSuggestedMappingsCanBeApplied(t *testing.T) {
	t.Parallel()
	payloads := []string{`[{"package_id":5,"qty":"2"}]`, `{"a b":[{"c d":{"product":"x"}}]}`, `{"items":[{"name":"` + strings.Repeat("x", 300) + `"},{"name":true}]}`}
	for _, file := range []string{"testdata/invoice.paid.json", "testdata/marketplace_purchase.purchased.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, string(text))
	}
	found := 0
	for _, payload := range payloads {
		for _, s := range suggestedLists(t, payload) {
			found++
			m, err := webhook.ParseMapping(*s.Mapping)
			if err != nil {
				t.Errorf("%v:\n%s", err, *s.Mapping)
				continue
			}
			def := webhook.Definition{
				Name: "N", Community: "c", State: webhook.Active, Encryption: webhook.NoEncryption,
				User: &webhook.UserRef{By: webhook.ByEmail, Path: "a"}, Mappings: []webhook.Mapping{m},
			}
			if err := def.Validate(); err != nil {
				t.Errorf("%v:\n%s", err, *s.Mapping)
			}
		}
	}
	if found < 4 {
		t.Errorf("%d lists were found", found)
	}
}
