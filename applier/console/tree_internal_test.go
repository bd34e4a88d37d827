package console

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin/sample"
)

// What a page shows of a payload stays small, however long the names are that a
// sender makes up.
func TestNamesThatASenderMakesUpStaySmall(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 200<<10)
	payload := `{"` + long + `":[` + strings.Repeat("1,", 100<<10) + `1],"amount":5}`
	var v sampleView
	v.show(sample.Caught{Payload: []byte(payload)})
	if len(v.Paths) != 1 || v.Paths[0].Path != "amount" {
		t.Errorf("the paths are %.200v", v.Paths)
	}
	size := 0
	var measure func(n *node)
	measure = func(n *node) {
		size += len(n.Name) + len(n.Path) + len(n.Text)
		for _, child := range n.Children {
			measure(child)
		}
	}
	measure(v.Tree)
	if size > 10<<10 {
		t.Errorf("the tree has %d bytes", size)
	}
}
