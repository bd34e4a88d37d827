package api_test

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/coinhook/coinhook/applier/api"
)

// openAPI is the document that tells programs what is answered.
type openAPI struct {
	root     map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex // of the compiler
}

var parsed = sync.OnceValues(func() (*openAPI, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.Description))
	if err != nil {
		return nil, err
	}
	d := &openAPI{root: doc.(map[string]any), compiler: jsonschema.NewCompiler()}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource("https://example.com/openapi.json", doc)
})

func described(t *testing.T) *openAPI {
	t.Helper()
	d, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// at returns what is at a place, and the place it refers to if it is elsewhere.
func (d *openAPI) at(place ...string) (any, []string) {
	var v any = d.root
	for i, step := range place {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, place
		}
		v = m[step]
		if m, ok := v.(map[string]any); ok && m["$ref"] != nil && step != "schema" {
			target := strings.Split(strings.TrimPrefix(m["$ref"].(string), "#/"), "/")
			return d.at(append(target, place[i+1:]...)...)
		}
	}
	return v, place
}

func (d *openAPI) validate(t *testing.T, value any, schema ...string) {
	t.Helper()
	_, schema = d.at(schema...)
	steps := make([]string, len(schema))
	for i, s := range schema {
		steps[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(s)
	}
	d.mu.Lock()
	compiled, err := d.compiler.Compile("https://example.com/openapi.json#/" + strings.Join(steps, "/"))
	d.mu.Unlock()
	if err != nil {
		t.Fatalf("the schema at %v: %v", schema, err)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("not as the schema at %v has it: %v", schema, err)
	}
}

// template returns the path of the document that a request goes to.
func (d *openAPI) template(r *http.Request) string {
	paths := d.root["paths"].(map[string]any)
	steps := strings.Split(r.URL.EscapedPath(), "/")
	best := ""
	for path, methods := range paths {
		if methods.(map[string]any)[strings.ToLower(r.Method)] == nil {
			continue
		}
		parts := strings.Split(path, "/")
		fits := len(parts) == len(steps)
		for i := 0; fits && i < len(parts); i++ {
			fits = strings.HasPrefix(parts[i], "{") || parts[i] == steps[i]
		}
		if fits && (best == "" || strings.Contains(best, "{")) {
			best = path
		}
	}
	return best
}

// check asserts that an answer is one of those that the document has.
func (d *openAPI) check(t *testing.T, r *http.Request, got reply) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	path := d.template(r)
	if path == "" {
		d.validate(t, value, "components", "schemas", "Error")
		return
	}
	place := []string{"paths", path, strings.ToLower(r.Method), "responses", strconv.Itoa(got.status)}
	if answer, _ := d.at(place...); answer == nil {
		t.Errorf("%s %s answers %d, which the document does not have: %s", r.Method, path, got.status, got.body)
		return
	}
	d.validate(t, value, append(place, "content", "application/json", "schema")...)
}

func TestTheDocumentHasAllRoutesAndNoOthers(t *testing.T) {
	t.Parallel()
	routes := append(api.Routes(), "GET /openapi.json")
	var documented []string
	for path, methods := range described(t).root["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routes)
	slices.Sort(documented)
	if diff := cmp.Diff(routes, documented); diff != "" {
		t.Error(diff)
	}
	codes, _ := described(t).at("components", "schemas", "Error", "properties", "code", "enum")
	var names []string
	for _, c := range codes.([]any) {
		names = append(names, c.(string))
	}
	slices.Sort(names)
	if diff := cmp.Diff(api.Codes(), names); diff != "" {
		t.Error(diff)
	}
}

// Whoever reads the document copies its examples.
func TestExamplesAreAsTheirSchemasSay(t *testing.T) {
	t.Parallel()
	d, count := described(t), 0
	var walk func(v any, place []string)
	walk = func(v any, place []string) {
		switch v := v.(type) {
		case map[string]any:
			if example, ok := v["example"]; ok && v["schema"] != nil {
				count++
				d.validate(t, example, append(slices.Clone(place), "schema")...)
			}
			for key, below := range v {
				if key != "example" {
					walk(below, append(slices.Clone(place), key))
				}
			}
		}
	}
	walk(d.root, nil)
	if count < 15 {
		t.Errorf("%d examples were found: the walk is not to be trusted", count)
	}
}

func TestTheDocumentNeedsNoToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.request(http.MethodGet, "/openapi.json", "")
	r.Header.Del("Authorization")
	if got := w.send(r); got.status != http.StatusOK || !bytes.Equal(got.body, api.Description) {
		t.Errorf("answered %d", got.status)
	}
}
