package webhook_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
)

// shopYAML has every part of a mapping, as Format writes it.
const shopYAML = `name: Shop
community: default
state: active
auth:
  api_key: true
encryption: none
user:
  by: email
  header: X-Customer-Email
idempotency: [{path: id}, {header: X-Topic}]
when:
  - {path: total, greater_than: 0}
  - {path: total, at_most: 1e3}
  - {path: name, starts_with: "#"}
  - {any: [{path: tags, contains: vip}, {header: X-Plan, in: [gold, silver]}]}
mappings:
  - currency: coins
    operator: add
    each: line_items
    when:
      - {path: refunded, not_equals: true}
      - {path: grams, less_than: 5}
    value:
      path: sku
      lookup:
        "12": "50"
        gems_1200: "1200"
        gems_500: "500"
        "true": "1"
      default: "0"
      times: {path: quantity}
      min: "0"
      max: "5000"
      round: down
  - currency: xp
    operator: add
    each: "$.line_items[0].parts"
    value: {constant: "5", times: "2"}
  - {currency: xp, operator: add, value: {header: X-Points, default: "0", signed: true}}
  - field: team
    when:
      - {path: team, exists: true}
    value:
      path: team
      lookup:
        R: red
`

func TestMappingPartsAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	def, err := webhook.Parse([]byte(shopYAML))
	if err != nil {
		t.Fatal(err)
	}
	got, err := webhook.Format(def)
	want := strings.Replace(shopYAML, "R: red", `R: "red"`, 1)
	if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
		t.Errorf("error %v, YAML (-want +got):\n%s", err, diff)
	}
	text, err := json.Marshal(def)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"idempotency":[{"path":"id"},{"header":"X-Topic"}]`, `"times":{"path":"quantity"}`, `"times":"2"`, `"greater_than":"0"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the JSON has no %s: %s", part, text)
		}
	}
}

// TestEachMappingPartIsOfTheOpenFormat: an applier that does not know it would execute
// the definition without it.
func TestEachMappingPartIsOfTheOpenFormat(t *testing.T) {
	t.Parallel()
	plain, err := webhook.Parse([]byte(fullYAML))
	if err != nil {
		t.Fatal(err)
	}
	if got := (webhook.Record{Definition: plain}).LeastFormat(); got != 0 {
		t.Fatalf("a definition without new parts has format %d", got)
	}
	for name, change := range map[string]func(*webhook.Definition){
		"a user in a header": func(d *webhook.Definition) { d.User = &webhook.UserRef{By: "email", Header: "X"} },
		"a composite key": func(d *webhook.Definition) {
			d.Idempotency = &webhook.Idempotency{Composite: []webhook.Source{{Path: "a"}}}
		},
		"a header":         func(d *webhook.Definition) { d.Mappings[0].Value = webhook.Value{Header: "X"} },
		"a lookup":         func(d *webhook.Definition) { d.Mappings[0].Value.Lookup = map[string]string{"a": "1"} },
		"a default":        func(d *webhook.Definition) { d.Mappings[0].Value.Default = new("1") },
		"times by a value": func(d *webhook.Definition) { d.Mappings[0].Value.TimesBy = &webhook.Source{Path: "a"} },
		"min":              func(d *webhook.Definition) { d.Mappings[0].Value.Min = "1" },
		"max":              func(d *webhook.Definition) { d.Mappings[0].Value.Max = "1" },
		"each":             func(d *webhook.Definition) { d.Mappings[0].Each = "a" },
		"a mapping's when": func(d *webhook.Definition) { d.Mappings[0].When = d.When[:1] },
		"any":              func(d *webhook.Definition) { d.When = []webhook.Condition{{Any: d.When[:1]}} },
		"greater_than":     func(d *webhook.Definition) { d.When = []webhook.Condition{{Path: "a", GreaterThan: "1"}} },
		"at_least":         func(d *webhook.Definition) { d.When = []webhook.Condition{{Path: "a", AtLeast: "1"}} },
		"less_than":        func(d *webhook.Definition) { d.When = []webhook.Condition{{Path: "a", LessThan: "1"}} },
		"at_most":          func(d *webhook.Definition) { d.When = []webhook.Condition{{Path: "a", AtMost: "1"}} },
		"starts_with":      func(d *webhook.Definition) { d.When = []webhook.Condition{{Path: "a", StartsWith: "1"}} },
		"ends_with":        func(d *webhook.Definition) { d.When = []webhook.Condition{{Path: "a", EndsWith: "1"}} },
		"contains":         func(d *webhook.Definition) { d.When = []webhook.Condition{{Path: "a", Contains: "1"}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def := plain
			def.Mappings = slices.Clone(plain.Mappings)
			change(&def)
			rec := webhook.Record{Definition: def}
			if got := rec.LeastFormat(); got != 3 {
				t.Errorf("has format %d, want 3", got)
			}
			rec.State = webhook.Paused
			if got := rec.LeastFormat(); got != 3 {
				t.Errorf("while paused it has format %d, want 3", got)
			}
		})
	}
}

// TestUnknownKeysOfPartsWithTwoFormsAreNotLost: these read themselves.
func TestUnknownKeysOfPartsWithTwoFormsAreNotLost(t *testing.T) {
	t.Parallel()
	def, err := webhook.Parse([]byte(shopYAML))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(webhook.Record{Definition: def})
	if err != nil {
		t.Fatal(err)
	}
	if err := webhook.CheckWritable(text); err != nil {
		t.Fatalf("what this version wrote is not writable: %v", err)
	}
	for name, replace := range map[string][2]string{
		"in times":            {`"times":{"path":"quantity"`, `"times":{"path":"quantity","per":"12"`},
		"in a value":          {`"times":{`, `"per":"12","times":{`},
		"in a composite key":  {`[{"path":"id"`, `[{"path":"id","as":"text"`},
		"in an any":           {`{"path":"tags"`, `{"path":"tags","fold":true`},
		"in a mapping's when": {`{"path":"refunded"`, `{"path":"refunded","fold":true`},
	} {
		changed := strings.Replace(string(text), replace[0], replace[1], 1)
		if changed == string(text) {
			t.Errorf("%s: %s is not in %s", name, replace[0], text)
			continue
		}
		if err := webhook.CheckWritable([]byte(changed)); err == nil {
			t.Errorf("%s: is writable: %s", name, changed)
		}
	}
}

func TestHeadersThatADefinitionReads(t *testing.T) {
	t.Parallel()
	def, err := webhook.Parse([]byte(shopYAML))
	if err != nil {
		t.Fatal(err)
	}
	def.Mappings[0].Value.TimesBy = &webhook.Source{Header: "x-quantity"}
	def.Mappings[0].When = []webhook.Condition{{Any: []webhook.Condition{{Header: "X-Refunded", Contains: "no"}}}}
	if diff := cmp.Diff([]string{"X-Topic"}, def.NamedKeyHeaders()); diff != "" {
		t.Errorf("of keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"X-Customer-Email", "X-Plan", "X-Refunded", "X-Quantity", "X-Points"}, def.MappingHeaders()); diff != "" {
		t.Errorf("others (-want +got):\n%s", diff)
	}
}
