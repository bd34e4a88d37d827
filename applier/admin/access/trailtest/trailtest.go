// Package trailtest finds code that changes something and leaves no audit trail.
package trailtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Source is what the functions of a package call, by their names.
type Source struct {
	calls   map[string]map[string]bool
	records map[string]map[string]bool // the first arguments of record
}

// Parse reads the package in the current folder. A method is named Type.Method and
// Method, a function by its name.
func Parse(tb testing.TB) *Source {
	tb.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Source{calls: map[string]map[string]bool{}, records: map[string]map[string]bool{}}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			tb.Fatal(err)
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				for _, name := range namesOf(f) {
					s.add(name, f)
				}
			}
		}
	}
	return s
}

func namesOf(f *ast.FuncDecl) []string {
	if f.Recv == nil {
		return []string{f.Name.Name}
	}
	recv := f.Recv.List[0].Type
	if star, ok := recv.(*ast.StarExpr); ok {
		recv = star.X
	}
	ident, ok := recv.(*ast.Ident)
	if !ok {
		return nil
	}
	qualified := ident.Name + "." + f.Name.Name
	if f.Name.Name == "Run" { // every command has one
		return []string{qualified}
	}
	return []string{qualified, f.Name.Name}
}

func (s *Source) add(name string, f *ast.FuncDecl) {
	if s.calls[name] == nil {
		s.calls[name], s.records[name] = map[string]bool{}, map[string]bool{}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		called := ""
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			called = fun.Name
		case *ast.SelectorExpr:
			called = fun.Sel.Name
		}
		s.calls[name][called] = true
		if strings.HasPrefix(called, "record") && len(call.Args) > 0 {
			s.records[name][firstArgument(call.Args[0])] = true
		}
		return true
	})
}

func firstArgument(arg ast.Expr) string {
	switch arg := arg.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(arg.Value); err == nil {
			return text
		}
	case *ast.Ident:
		return arg.Name
	}
	return ""
}

// Records returns what a function records, or has recorded by those it calls: the
// first arguments of record and of functions that are named like it.
func (s *Source) Records(function string) map[string]bool {
	found := map[string]bool{}
	for name := range s.reached(function) {
		maps.Copy(found, s.records[name])
	}
	return found
}

// Calls reports whether a function calls another one, itself or by those it calls.
func (s *Source) Calls(function, other string) bool { return s.reached(function)[other] }

// reached are a function and all that it calls.
func (s *Source) reached(function string) map[string]bool {
	seen := map[string]bool{}
	var follow func(string)
	follow = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for called := range s.calls[name] {
			follow(called)
		}
	}
	follow(function)
	return seen
}
