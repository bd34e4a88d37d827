package console

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"

	"github.com/coinhook/coinhook/applier/admin/access/trailtest"
)

// showsSecrets are the routes that change nothing, and show what others do not see.
var showsSecrets = map[string]bool{
	"/deliveries/:id": true, "/deliveries/:id/reveal": true, "/dead-letters/export": true, "/logs.csv": true, "/deliveries.csv": true, "/users.csv": true, "/dead-letters.csv": true,
}

// A route that changes something, or shows what others do not see, records it.
func TestEveryRouteThatChangesSomethingRecordsIt(t *testing.T) {
	t.Parallel()
	source, handlers := trailtest.Parse(t), handlersOf(t)
	routes := (&Console{}).routes()
	if len(handlers) != len(routes) {
		t.Fatalf("found the handlers of %d routes, want %d", len(handlers), len(routes))
	}
	for i, r := range routes {
		if r.path == previewPath || r.method != post && !showsSecrets[r.path] {
			continue
		}
		if len(source.Records("Console."+handlers[i])) == 0 {
			t.Errorf("%s %s (%s) records nothing: call c.record", r.method, r.path, handlers[i])
		}
	}
}

// handlersOf reads the names of the routes' handlers: revert of s.revert and of
// of(s.revertRequest, s.revert).
func handlersOf(t *testing.T) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "routes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		route, ok := n.(*ast.CompositeLit)
		if !ok || route.Type != nil || len(route.Elts) != 4 {
			return true
		}
		handler := route.Elts[3]
		if call, ok := handler.(*ast.CallExpr); ok {
			handler = call.Args[len(call.Args)-1]
		}
		names = append(names, handler.(*ast.SelectorExpr).Sel.Name)
		return true
	})
	return names
}
