package reference

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// metric is one that a program registers.
type metric struct {
	name, kind, help string
	labels           []string
	folder           string // of its package
}

// metrics renders what ingress and applier register, from their sources: a metric with
// labels shows up in a registry only once it has a value.
func metrics(t *testing.T, _ func(string, ...string) string) string {
	t.Helper()
	all := registered(t)
	if len(all) < 30 {
		t.Fatalf("only %d metrics were found", len(all))
	}
	linked := map[string]string{}
	for _, program := range []string{"ingress", "applier"} {
		linked[program] = run(t, "go", "list", "-deps", "-f", "{{.Dir}}", "./"+program+"/cmd/"+program)
	}
	var b strings.Builder
	for _, m := range all {
		var of []string
		for _, program := range []string{"ingress", "applier"} {
			if strings.Contains(linked[program], string(filepath.Separator)+m.folder+"\n") {
				of = append(of, program)
			}
		}
		if len(of) == 0 {
			continue // of no service
		}
		by := ""
		if len(m.labels) > 0 {
			by = ", by `" + strings.Join(m.labels, "`, `") + "`"
		}
		b.WriteString(item(fmt.Sprintf("`%s` (%s of %s%s): %s", m.name, m.kind, strings.Join(of, " and "), by, m.help)))
	}
	return b.String()
}

// registered returns the metrics that the sources name, by name.
func registered(t *testing.T) (all []metric) {
	t.Helper()
	for _, folder := range []string{"pkg", "ingress", "applier"} {
		err := filepath.WalkDir(filepath.Join(repository, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "dev" || d.Name() == "testdata") {
				return fs.SkipDir
			}
			if d.IsDir() {
				all = append(all, ofPackage(t, path)...)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(all, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return all
}

var options = regexp.MustCompile(`^(Gauge|Counter|Histogram|Summary)Opts$`)

// ofPackage returns the metrics of the files of one folder.
func ofPackage(t *testing.T, folder string) (found []metric) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]string{}
	var parsed []*ast.File
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(source), "client_golang/prometheus") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
		ast.Inspect(file, func(n ast.Node) bool { noteConstants(n, constants); return true })
	}
	relative, err := filepath.Rel(repository, folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && len(call.Args) > 0 {
				if m, ok := ofCall(call, constants); ok {
					if m.name == "" || m.help == "" {
						t.Errorf("%s: the name or the help of a metric is not a constant of its package: %+v", relative, m)
					}
					m.folder = relative
					found = append(found, m)
				}
			}
			return true
		})
	}
	return found
}

func noteConstants(n ast.Node, constants map[string]string) {
	spec, ok := n.(*ast.ValueSpec)
	if !ok {
		return
	}
	for i, name := range spec.Names {
		if i < len(spec.Values) {
			if text, ok := fold(spec.Values[i], constants); ok {
				constants[name.Name] = text
			}
		}
	}
}

// ofCall reads a call such as NewGaugeVec(prometheus.GaugeOpts{…}, []string{…}).
func ofCall(call *ast.CallExpr, constants map[string]string) (m metric, ok bool) {
	literal, ok := call.Args[0].(*ast.CompositeLit)
	if !ok {
		return m, false
	}
	kind, ok := literal.Type.(*ast.SelectorExpr)
	if !ok || !options.MatchString(kind.Sel.Name) {
		return m, false
	}
	m.kind = strings.ToLower(strings.TrimSuffix(kind.Sel.Name, "Opts"))
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch fmt.Sprint(pair.Key) {
		case "Name":
			m.name, _ = fold(pair.Value, constants)
		case "Help":
			m.help, _ = fold(pair.Value, constants)
		}
	}
	if len(call.Args) > 1 {
		if labels, ok := call.Args[1].(*ast.CompositeLit); ok {
			for _, element := range labels.Elts {
				if text, ok := fold(element, constants); ok {
					m.labels = append(m.labels, text)
				}
			}
		}
	}
	return m, true
}

// fold returns the value of a constant text.
func fold(e ast.Expr, constants map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		text, ok := constants[e.Name]
		return text, ok
	case *ast.ParenExpr:
		return fold(e.X, constants)
	case *ast.BinaryExpr:
		left, lok := fold(e.X, constants)
		right, rok := fold(e.Y, constants)
		return left + right, lok && rok && e.Op == token.ADD
	}
	return "", false
}

// TestDocumentsNameMetricsThatExist: an alert on a metric that is not there never rings.
func TestDocumentsNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range registered(t) {
		known[m.name] = true
		if m.kind == "histogram" {
			known[m.name+"_bucket"], known[m.name+"_sum"], known[m.name+"_count"] = true, true, true
		}
	}
	named := regexp.MustCompile("`(coinhook_[a-z0-9_]+)[`{]")
	found := 0
	for path, text := range pages(t, "") {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if name := m[1]; hasUnit(name) {
				found++
				if !known[name] {
					t.Errorf("%s names the metric %s, which no program has", path, name)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d names of metrics were found", found)
	}
}

// TestDocumentsSelectSeriesThatExist: a label has to be the metric's, and its value one
// that the programs know.
func TestDocumentsSelectSeriesThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]metric{}
	for _, m := range registered(t) {
		known[m.name] = m
	}
	values := map[string][]string{"pkg": texts(t, "pkg/delivery"), "ingress": texts(t, "ingress"), "applier": texts(t, "applier")}
	selector := regexp.MustCompile("`(coinhook_[a-z0-9_]+){([a-z]+)=\"([^\"]*)\"}`")
	found := 0
	for path, text := range pages(t, "") {
		for _, m := range selector.FindAllStringSubmatch(text, -1) {
			found++
			if !slices.Contains(known[m[1]].labels, m[2]) {
				t.Errorf("%s: %s has no label %s", path, m[1], m[2])
			}
			module, _, _ := strings.Cut(filepath.ToSlash(known[m[1]].folder), "/")
			if !slices.Contains(append(values[module], values["pkg"]...), m[3]) {
				t.Errorf("%s: no %s of %s is %q", path, m[2], m[1], m[3])
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d series were found", found)
	}
}

// pages returns the documents below docs, or below one of its folders.
func pages(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(filepath.Join(repository, "docs", folder), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var unit = regexp.MustCompile(`_(total|seconds|bytes|deliveries|messages|requests|connections|findings|connected|stopped|owned|info)$`)

// hasUnit tells a metric from other names, such as coinhook_console, a role of PostgreSQL.
func hasUnit(name string) bool { return unit.MatchString(name) }
