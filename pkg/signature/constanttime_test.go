package signature_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// A wrong signature must take the same way through the code as a right one of its
// length. So the comparison is hmac.Equal, and the loops around it have no exit.
func TestSignaturesAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	functions := map[string]*ast.FuncDecl{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	equals := 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				functions[n.Name.Name] = n
			case *ast.SelectorExpr:
				switch name(n) {
				case "hmac.Equal":
					equals++
				case "bytes.Equal", "bytes.Compare", "slices.Equal", "slices.Compare", "reflect.DeepEqual":
					t.Errorf("%s uses %s: it stops at the first difference", file.Name(), name(n))
				}
			}
			return true
		})
	}
	if equals != 1 {
		t.Errorf("hmac.Equal is called at %d places, want one", equals)
	}
	for _, function := range []string{"match", "compare"} {
		if functions[function] == nil {
			t.Fatalf("there is no function %s any more: mend this test", function)
		}
	}
	for _, loop := range loops(functions["match"]) {
		if exit := exitOf(loop); exit != "" {
			t.Errorf("a loop of match has an exit: %s", exit)
		}
	}
	if first := loops(functions["compare"])[0]; exitOf(first) != "" {
		t.Errorf("the loop over the valid secrets has an exit: %s", exitOf(first))
	}
}

func name(s *ast.SelectorExpr) string {
	if x, ok := s.X.(*ast.Ident); ok {
		return x.Name + "." + s.Sel.Name
	}
	return ""
}

func loops(f *ast.FuncDecl) (found []ast.Node) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.RangeStmt, *ast.ForStmt:
			found = append(found, n)
		}
		return true
	})
	return found
}

func exitOf(loop ast.Node) (exit string) {
	ast.Inspect(loop, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ReturnStmt:
			exit = "return"
		case *ast.BranchStmt:
			exit = n.Tok.String()
		}
		return true
	})
	return exit
}
