package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

func TestEveryProgramSaysItsVersion(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ingress", "applier", "coinhook", "devstack"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), filepath.Join(binDir, name), "--version").Output()
			if err != nil {
				t.Fatal(err)
			}
			if name == "coinhook" {
				if again, err := exec.CommandContext(t.Context(), filepath.Join(binDir, name), "-o", "json", "--version", "--yes").Output(); err != nil || string(again) != string(out) {
					t.Errorf("with another flag: %q, %v", again, err)
				}
			}
			if want := regexp.MustCompile(`^` + name + ` \S+ \(commit [0-9a-z+]+, go\d[^)]*\)\n$`); !want.Match(out) {
				t.Errorf("got %q, want %v", out, want)
			}
		})
	}
}
