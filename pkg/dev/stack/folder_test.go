package devstack

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A start takes its time, and others read these files meanwhile.
func TestAFolderThatWasLeftSaysNothingOfItsOldStack(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	told := []string{filepath.Join(dir, "dev.env"), filepath.Join(dir, "pids.json")}
	for _, path := range told {
		if err := os.WriteFile(path, []byte("[]"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &Stack{opts: Options{Dir: dir}}
	if err := s.openFolder(); err != nil {
		t.Fatal(err)
	}
	defer unlock(s.lock) // the folder goes with the test
	for _, path := range told {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}
