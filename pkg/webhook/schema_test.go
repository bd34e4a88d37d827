package webhook_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/goccy/go-yaml"
)

func readSchema(t *testing.T) map[string]any {
	t.Helper()
	text, err := webhook.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// violations validates by the keywords that the schema uses, and by no others.
func violations(schema map[string]any, value any, at string) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	for keyword, arg := range schema {
		switch keyword {
		case "$schema", "title", "description":
		case "type":
			if !isOfType(arg, value) {
				bad("want %v, not %T %v", arg, value, value)
			}
		case "enum":
			if text, ok := value.(string); ok && !slices.Contains(arg.([]any), any(text)) { // a schema of ours
				bad("want one of %v, not %s", arg, text)
			}
		case "anyOf":
			if !slices.ContainsFunc(arg.([]any), func(form any) bool { return len(violations(form.(map[string]any), value, at)) == 0 }) { // the same
				bad("is of none of the forms")
			}
		case "required":
			object, _ := value.(map[string]any)
			for _, name := range arg.([]any) { // the same
				if _, ok := object[name.(string)]; !ok { // the same
					bad("%v is missing", name)
				}
			}
		case "properties", "additionalProperties":
		case "items", "maxItems", "minProperties", "maxProperties":
		default:
			bad("the schema has the keyword %s, which this test does not know", keyword)
		}
	}
	return append(append(wrong, membersOf(schema, value, at)...), itemsOf(schema, value, at)...)
}

func membersOf(schema map[string]any, value any, at string) (wrong []string) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, member := range object {
		known, ok := properties[name].(map[string]any)
		if others, isSchema := schema["additionalProperties"].(map[string]any); !ok && isSchema {
			known, ok = others, true
		}
		switch {
		case ok:
			wrong = append(wrong, violations(known, member, at+"."+name)...)
		case schema["additionalProperties"] == false:
			wrong = append(wrong, at+": the key "+name+" is not known")
		}
	}
	if most, ok := schema["maxProperties"].(float64); ok && len(object) > int(most) {
		wrong = append(wrong, at+": has too many keys")
	}
	if least, ok := schema["minProperties"].(float64); ok && len(object) < int(least) {
		wrong = append(wrong, at+": has too few keys")
	}
	return wrong
}

func itemsOf(schema map[string]any, value any, at string) (wrong []string) {
	all, ok := value.([]any)
	if !ok {
		return nil
	}
	if items, ok := schema["items"].(map[string]any); ok {
		for i, item := range all {
			wrong = append(wrong, violations(items, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	}
	if most, ok := schema["maxItems"].(float64); ok && len(all) > int(most) {
		wrong = append(wrong, at+": has too many items")
	}
	return wrong
}

func isOfType(types, value any) bool {
	names, ok := types.([]any)
	if !ok {
		names = []any{types}
	}
	kind := map[string]bool{}
	switch v := value.(type) {
	case nil:
		kind["null"] = true
	case bool:
		kind["boolean"] = true
	case string:
		kind["string"] = true
	case []any:
		kind["array"] = true
	case map[string]any:
		kind["object"] = true
	case float64:
		kind["number"], kind["integer"] = true, v == float64(int64(v))
	default: // integers of the YAML reader
		kind["number"], kind["integer"] = true, true
	}
	return slices.ContainsFunc(names, func(name any) bool { return kind[name.(string)] }) // a schema of ours
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// examples are all definitions that the documentation, the presets and these tests
// have, by where they are.
func examples(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"fullYAML": fullYAML, "shopYAML": shopYAML}
	root := filepath.Join("..", "..")
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/*/*.md", "docs/guide/senders/*.md", "pkg/signature/presets/*.yaml", "pkg/dev/stack/demo/data/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, ".yaml") {
				all[file] = string(text)
				continue
			}
			for i, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
				if strings.HasPrefix(strings.TrimSpace(block[1]), "name: ") {
					all[fmt.Sprintf("%s, block %d", file, i)] = block[1]
				}
			}
		}
	}
	return all
}

// TestExamplesAreValid: by the parser, and by the schema that editors use.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	all := examples(t)
	if len(all) < 36 {
		t.Fatalf("%d examples were found: %v", len(all), slices.Sorted(maps.Keys(all)))
	}
	for name, text := range all {
		if _, err := webhook.Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var tree map[string]any
		if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, problem := range violations(schema, tree, "definition") {
			t.Errorf("%s: %s", name, problem)
		}
	}
}

func TestTheSchemaRefuses(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	for text, want := range map[string]string{
		`{}`:                                                 "definition: name is missing",
		`{name: N, colour: red}`:                             "definition: the key colour is not known",
		`{name: N, state: busy}`:                             "definition.state: want one of",
		`{name: 5}`:                                          "definition.name: want string",
		`{name: N, user: {by: phone, path: a}}`:              "definition.user.by: want one of",
		`{name: N, idempotency: order.id}`:                   "definition.idempotency: is of none of the forms",
		`{name: N, idempotency: [{body: true}]}`:             "definition.idempotency: is of none of the forms",
		`{name: N, auth: {signature: nobody}}`:               "definition.auth.signature: is of none of the forms",
		`{name: N, when: [{any: [{any: []}]}]}`:              "definition.when[0].any[0]: the key any is not known",
		`{name: N, when: [{path: a, at_least: true}]}`:       "definition.when[0].at_least: want",
		`{name: N, mappings: [{operator: plus}]}`:            "definition.mappings[0].operator: want one of",
		`{name: N, mappings: [{value: {times: [1]}}]}`:       "definition.mappings[0].value.times: is of none of the forms",
		`{name: N, mappings: [{value: {lookup: {}}}]}`:       "definition.mappings[0].value.lookup: has too few keys",
		`{name: N, mappings: [{value: {lookup: {a: [1]}}}]}`: "definition.mappings[0].value.lookup.a: want",
		`{name: N, late_users: {max_deliveries: 1.5}}`:       "definition.late_users.max_deliveries: want",
	} {
		var tree map[string]any
		if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
			t.Fatal(err)
		}
		if got := violations(schema, tree, "definition"); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestWhatTheSchemaDescribesIsThere: a key that is renamed would lose its words.
func TestWhatTheSchemaDescribesIsThere(t *testing.T) {
	t.Parallel()
	text, err := webhook.Schema()
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range webhook.SchemaWords() {
		if !strings.Contains(string(text), words) {
			t.Errorf("the schema has no place for %q", words)
		}
	}
}
