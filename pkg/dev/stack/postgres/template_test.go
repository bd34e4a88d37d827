package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestClustersAreCopiesOfTheTemplate(t *testing.T) {
	binaries(t)
	made, err := MakeTemplate(deadline(t), folder(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(TemplateVariable, made)
	for name, test := range map[string]struct {
		password string
		isCopy   bool
	}{
		"with its password": {"", true},
		"with another one":  {"of its own", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, Options{Dir: folder(t), Password: test.password, Networks: []string{"10.1.0.0/24"}})
			if got := query(t, s, "SELECT count(*) FROM pg_hba_file_rules WHERE address = '10.1.0.0'"); got != "1" {
				t.Errorf("%s rules let the network in, want 1", got)
			}
			_, err := os.Stat(filepath.Join(s.Dir(), "initdb.log"))
			if isCopy := errors.Is(err, os.ErrNotExist); isCopy != test.isCopy {
				t.Errorf("it is a copy: %t, want %t", isCopy, test.isCopy)
			}
		})
	}
}
