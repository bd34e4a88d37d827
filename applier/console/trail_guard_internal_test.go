package console

import (
	"reflect"
	"runtime"
	"strings"
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
	source := trailtest.Parse(t)
	for _, r := range (&Console{}).routes() {
		if r.path == previewPath || r.method != post && !showsSecrets[r.path] {
			continue
		}
		name := runtime.FuncForPC(reflect.ValueOf(r.handler).Pointer()).Name() // …console.(*Console).revert-fm
		name = strings.TrimSuffix(name[strings.LastIndexByte(name, '.')+1:], "-fm")
		if len(source.Records("Console."+name)) == 0 {
			t.Errorf("%s %s (%s) records nothing: call c.record", r.method, r.path, name)
		}
	}
}
