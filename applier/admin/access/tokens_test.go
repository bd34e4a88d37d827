package access_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin/access"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"reports": true, "Zoë's": false, "Zoë 2": true, "anna@office": true, "a.b_c:d-e": true, strings.Repeat("a", 64): true,
		"": false, " a": false, "a ": false, "-a": false, "a\nb": false, "a/b": false, strings.Repeat("a", 65): false, "a\xff": false,
	} {
		if err := access.CheckTokenName(name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}
