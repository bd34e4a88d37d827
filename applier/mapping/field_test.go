package mapping_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestFieldValues(t *testing.T) {
	t.Parallel()
	const refused = "\x00refused"
	long := strings.Repeat("é", webhook.MaxFieldLength)
	for _, c := range []struct{ field, json, want string }{
		{"note", `" a\u00e9\n\"b\" "`, " aé\n\"b\" "},
		{"note", `""`, ""},
		{"note", `1.50e+2`, "1.50e+2"},
		{"note", `-0`, "-0"},
		{"note", `true`, "true"},
		{"note", `"` + long + `"`, long},
		{"note", `"` + long + `x"`, refused},
		{"note", strings.Repeat("1", 4096), strings.Repeat("1", 4096)},
		{"note", strings.Repeat("1", 4097), refused},
		{"note", `"a\u0000b"`, refused},
		{"note", `{"a":1}`, refused},
		{"note", `[]`, refused},
		{"size", `0.10`, "0.10"},
		{"size", `"1e400"`, "1e400"},
		{"size", `"0x10"`, refused},
		{"size", `" 1"`, refused},
		{"size", `""`, refused},
		{"size", `true`, refused},
		{"size", `[1]`, refused},
		{"paid", `true`, "true"},
		{"paid", `"false"`, "false"},
		{"paid", `"True"`, refused},
		{"paid", `1`, refused},
		{"paid", `{}`, refused},
		{"born", `"2024-02-29"`, "2024-02-29"},
		{"born", `"2023-02-29"`, refused},
		{"born", `"2026-11-23T15:04:05Z"`, "2026-11-23T15:04:05Z"},
		{"born", `"2026-11-23t15:04:05.123456789012z"`, "2026-11-23t15:04:05.123456789012z"},
		{"born", `"2026-11-23T15:04:05+01:30"`, "2026-11-23T15:04:05+01:30"},
		{"born", `"2016-12-31T23:59:60Z"`, "2016-12-31T23:59:60Z"},
		{"born", `"2026-11-23T24:00:00Z"`, refused},
		{"born", `"2026-11-23T5:04:05Z"`, refused},
		{"born", `"2026-11-23 15:04:05Z"`, refused},
		{"born", `"2026-11-23T15:04:05"`, refused},
		{"born", `"2026-11-23T15:04:05,5Z"`, refused},
		{"born", `"2026-11-23Z"`, refused},
		{"born", `"23.11.2026"`, refused},
		{"born", `"日本日本日本日本"`, refused},
		{"born", `1700000000`, refused},
		{"born", `[]`, refused},
		{"team", `"red"`, "red"},
		{"team", `5`, "5"},
		{"team", `true`, "true"},
		{"team", `"Red"`, refused},
		{"team", `{"red":1}`, refused},
	} {
		t.Run(c.field+" of "+c.json[:min(len(c.json), 40)], func(t *testing.T) {
			t.Parallel()
			w := compile(t, oneMapping("field: "+c.field+", value: {path: v}"))
			plan, failure := evaluate(w, fmt.Appendf(nil, `{"user":"ada","v":%s}`, c.json), headers())
			if c.want == refused {
				if failure == nil || failure.Reason != "invalid_field_value" || failure.Path != "v" {
					t.Fatalf("got %+v, %v", plan, failure)
				}
				checkDetail(t, failure.Detail)
				return
			}
			f, _ := guild.Field(c.field)
			want := []applier.FieldChange{{Field: c.field, Value: c.want, Revision: f.Revision}}
			if diff := cmp.Diff(want, plan.Fields); diff != "" || failure != nil {
				t.Errorf("failure %v, fields (-want +got):\n%s", failure, diff)
			}
		})
	}
}

func TestFieldFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, mapping, body, reason, path string }{
		{"absent", "field: note, value: {path: v}", `{"user":"ada"}`, "missing_field", "v"},
		{"null", "field: note, value: {path: v}", `{"user":"ada","v":null}`, "missing_field", "v"},
		{"a constant", "field: team, value: {constant: red}", `{"user":"ada"}`, "", ""},
		{"a constant that is no option any more", "field: team, value: {constant: blue}", `{"user":"ada"}`, "invalid_field_value", ""},
		{"a field that is gone", "field: gone, value: {path: v}", `{"user":"ada","v":1}`, "invalid_mapping", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			checkAnswer(t, oneMapping(c.mapping), c.body, c.reason, c.path)
		})
	}
}

// The order of the mappings holds across currencies and custom fields, and a
// failure leaves nothing of those before it.
func TestFieldsAndCurrenciesTogether(t *testing.T) {
	t.Parallel()
	const definition = `
name: Both
state: active
user: {by: username, path: user}
mappings:
  - {field: team, value: {path: team}}
  - {currency: coins, operator: add, value: {path: coins}}
  - {field: note, value: {path: note}}
  - {currency: euro, operator: add, value: {path: total}}`
	w := compile(t, definition)
	plan, failure := evaluate(w, []byte(`{"user":"ada","team":"red","coins":5,"note":7,"total":"12.50"}`), headers())
	want := applier.Plan{
		User: applier.UserRef{By: webhook.ByUsername, Value: "ada"},
		Changes: []applier.Change{
			{Currency: "coins", Operator: webhook.Add, Amount: 5},
			{Currency: "euro", Operator: webhook.Add, Amount: 1250, Scale: 2},
		},
		Fields: []applier.FieldChange{{Field: "team", Value: "red", Revision: 5}, {Field: "note", Value: "7", Revision: 1}},
	}
	if diff := cmp.Diff(want, plan); diff != "" || failure != nil {
		t.Errorf("failure %v, plan (-want +got):\n%s", failure, diff)
	}
	for body, reason := range map[string][2]string{
		`{"user":"ada","team":"red","coins":5,"note":7,"total":"12.505"}`: {"invalid_amount", "total"},
		`{"user":"ada","team":"blue","coins":true,"note":[]}`:             {"invalid_field_value", "team"},
		`{"user":"ada","team":"red","coins":true,"note":[]}`:              {"invalid_amount", "coins"},
		`{"user":"ada","team":"red","coins":1,"note":[]}`:                 {"invalid_field_value", "note"},
	} {
		checkAnswer(t, definition, body, reason[0], reason[1])
	}
}

func FuzzFieldCheck(f *testing.F) {
	for _, text := range []string{"2026-11-23", "2026-11-23t23:59:60.5z", "1e400", "true", "red", "日本日本日本日本", "2026-11-23T15:04:05-23:59"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, field := range guild.Fields {
			err := field.Check(text)
			if err != nil && (len(err.Error()) > 200 || strings.ContainsAny(err.Error(), "\n\t\x00")) {
				t.Fatalf("%s: %q is refused with %q", field.Name, text, err)
			}
			if field.Type != applier.Date || err != nil {
				continue
			}
			if text[:10] != strings.Map(dateOnly, text[:10]) {
				t.Fatalf("%q is taken for a date", text)
			}
			if _, err := time.Parse(time.DateOnly, text[:10]); err != nil {
				t.Fatalf("%q is taken for a date: %v", text, err)
			}
		}
	})
}

func dateOnly(r rune) rune {
	if r == '-' || '0' <= r && r <= '9' {
		return r
	}
	return -1
}
