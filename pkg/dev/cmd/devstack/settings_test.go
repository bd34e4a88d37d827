package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	devstack "github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/service"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		want settings
	}{
		{"defaults", nil, settings{".coinhook", "127.0.0.1:8080", "127.0.0.1:8090", 2, false}},
		{"demo_disturbs_nothing", []string{"--demo"}, settings{"", "", "", 2, true}},
		{"demo_where_it_is_told", []string{"--demo", "--data", "d", "--ingress-addr", ":1"}, settings{"d", ":1", "", 2, true}},
		{"all", []string{"--data=d", "--ingress-addr=:1", "--console-addr=:2", "--appliers=3"}, settings{"d", ":1", ":2", 3, false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := parse(test.args, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("parse = %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown_flag":       {"--port", "1"},
		"argument":           {"start"},
		"negative_appliers":  {"--appliers", "-1"},
		"a demo without any": {"--appliers", "0", "--demo"},
		"appliers_no_number": {"--appliers", "two"},
		"no port":            {"--ingress-addr", "localhost"},
		"a port beyond all":  {"--console-addr", "127.0.0.1:70000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(args, io.Discard); err == nil || errors.Is(err, flag.ErrHelp) {
				t.Errorf("parse = %v", err)
			}
		})
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	var help strings.Builder
	if _, err := parse([]string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("parse = %v", err)
	}
	for _, want := range []string{
		"-data", "-ingress-addr", "-console-addr", "-appliers", "-demo",
		"NATS_URL", "DATABASE_URL", "COINHOOK_MASTER_KEY", "PG_BIN_DIR", "127.0.0.1:8080", ".coinhook",
	} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("--help does not name %s", want)
		}
	}
}

func TestSecretFilesGoIntoTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(path, []byte("nats://u:p@h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range service.Secrets {
		t.Setenv(name, "")
	}
	t.Setenv("NATS_URL_FILE", path)
	t.Setenv("COINHOOK_MASTER_KEY", "as it was")
	if err := readSecretFiles(); err != nil {
		t.Fatal(err)
	}
	if got := os.Getenv("NATS_URL"); got != "nats://u:p@h" {
		t.Errorf("NATS_URL = %q", got)
	}
	if got := os.Getenv("COINHOOK_MASTER_KEY"); got != "as it was" {
		t.Errorf("COINHOOK_MASTER_KEY = %q", got)
	}
	if got, set := os.LookupEnv("NATS_URL_FILE"); set {
		t.Errorf("the parts would refuse NATS_URL_FILE = %q", got)
	}
	t.Setenv("NATS_URL_FILE", path)
	if err := readSecretFiles(); err == nil {
		t.Error("no error, although the URL is given twice")
	}
}

func TestABusyPortSaysWhatToTypeInstead(t *testing.T) {
	t.Parallel()
	err := settings{}.explain(t.Context(), &devstack.AddrTakenError{Part: devstack.Ingress, Addr: "127.0.0.1:8080", Err: errors.New("in use")})
	if want := "cannot use 127.0.0.1:8080 for the ingress: in use; stop what uses it, or take a free port: bin/devstack --ingress-addr 127.0.0.1:0"; err.Error() != want {
		t.Errorf("it says %q, want %q", err, want)
	}
}
