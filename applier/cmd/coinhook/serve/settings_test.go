package serve

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/cli"
)

func TestTheHelpListsEachSetting(t *testing.T) {
	t.Parallel()
	var help bytes.Buffer
	if code := cli.Run(t.Context(), cli.Process{Args: []string{"console", "--help"}, Stdout: &help, Stderr: &help}); code != 0 {
		t.Fatal(help.String())
	}
	fields := reflect.TypeFor[settings]()
	for i := range fields.NumField() {
		if name := fields.Field(i).Tag.Get("env"); name == "" || !strings.Contains(help.String(), "  "+name+" ") {
			t.Errorf("the help lacks %q", name)
		}
	}
}
