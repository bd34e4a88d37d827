package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/postgres"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for url, want := range map[string][]string{
		"postgres://u@h1/db":                                {"h1:5432"},
		"postgres://u:p@h1:6432/db":                         {"h1:6432"},
		"postgres://u@[::1]:6432/db":                        {"[::1]:6432"},
		"postgres://u:p@h1:5432,h2:6432/db?sslmode=disable": {"h1:5432", "h2:6432"},
		"postgresql://u:p@h1,h2:6432,h3/db":                 {"h1:5432", "h2:6432", "h3:5432"},
		"postgres://u:a%2Cb%40c@h1,h2/db":                   {"h1:5432", "h2:5432"},
		"postgres://u@[::1]:5432,[fe80::1]/db":              {"[::1]:5432", "[fe80::1]:5432"},
		"postgres://%2Frun%2Fpostgresql/db":                 {"/run/postgresql:5432"},
		"postgres://u@h1,h2/db?port=1,2":                    nil, // two places
		"postgres://u@/db?host=h1,h2&port=1,2":              {"h1:1", "h2:2"},
		"host=h1,h2 port=5432,6432 dbname=db":               {"h1:5432", "h2:6432"},
		"postgres://u@/db?host=h1:5432,h2:5432":             nil,
		"postgres://u@h1:5432,h2:x/db":                      nil,
		"postgres://u@h1:5432,,h2/db":                       nil,
		"postgres://u@h1:5432,h2:/db":                       nil,
		"postgres://u@h1:5432:5433,h2/db":                   nil,
		"":                                                  nil,
		"mysql://secret@h1/db":                              nil,
	} {
		got, err := postgres.Servers(url)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %v\n%s", url, err, diff)
		}
		if want == nil && (err == nil || !strings.Contains(err.Error(), "host1:5432,host2:5432") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s is refused with %v", url, err)
		}
	}
}

// A password with the characters that a URL escapes arrives as it is.
func TestAPasswordSurvivesSeveralHosts(t *testing.T) {
	t.Parallel()
	got, err := postgres.Password("postgres://u:a%2Cb%40c%2F'd%25@h1:5432,h2:5432/db")
	if err != nil || got != "a,b@c/'d%" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDurability(t *testing.T) {
	t.Parallel()
	for _, off := range []string{"off", "false", "0", "no", "OFF"} {
		if _, err := postgres.Open("postgres://u@h/db?synchronous_commit="+off, postgres.Options{}); err == nil || !strings.Contains(err.Error(), "synchronous_commit=on") {
			t.Errorf("synchronous_commit=%s: %v", off, err)
		}
	}
}
