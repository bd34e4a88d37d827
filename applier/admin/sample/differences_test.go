package sample_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	def, err := webhook.Parse([]byte(`{name: Shop, user: {by: email, path: user}, when: [{any: [{path: paid, exists: true}, {header: X-Paid, exists: true}]}],
idempotency: [{path: id}], mappings: [{currency: coins, operator: add, each: lines, when: [{path: gone, not_equals: true}],
value: {path: sku, lookup: {a: "1"}, times: {path: n}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	all, failures := sample.Differences([2][]byte{
		[]byte(`{"id":1,"user":"ann","paid":true,"note":"5","lines":[{"sku":"a","n":2,"gone":false}]}`),
		[]byte(`{"id":1.0,"note":5,"user":"ann","lines":[{"sku":"a","n":2,"price":"9"},{"sku":"b"}],"new":null}`),
	}, def)
	want := []sample.Difference{
		{Path: "id", Values: [2]string{"1", "1.0"}, Read: true},
		{Path: "user", Values: [2]string{`"ann"`, `"ann"`}, Read: true},
		{Path: "paid", Values: [2]string{"true", ""}, Read: true},
		{Path: "note", Values: [2]string{`"5"`, "5"}},
		{Path: "lines[0].sku", Values: [2]string{`"a"`, `"a"`}, Read: true},
		{Path: "lines[0].n", Values: [2]string{"2", "2"}, Read: true},
		{Path: "lines[0].gone", Values: [2]string{"false", ""}, Read: true},
		{Path: "lines[0].price", Values: [2]string{"", `"9"`}},
		{Path: "lines[1].sku", Values: [2]string{"", `"b"`}, Read: true},
		{Path: "new", Values: [2]string{"", "null"}},
	}
	if diff := cmp.Diff(want, all); diff != "" || failures[0] != nil || failures[1] != nil {
		t.Errorf("(-want +got) %v:\n%s", failures, diff)
	}
	if !all[2].Differs() || all[1].Differs() {
		t.Error("what differs is not told from what is the same")
	}
	_, failures = sample.Differences([2][]byte{[]byte(`{}`), []byte(`{`)})
	if failures[0] != nil || failures[1] == nil || failures[1].Reason != "invalid_json" {
		t.Errorf("the failures are %v", failures)
	}
}
