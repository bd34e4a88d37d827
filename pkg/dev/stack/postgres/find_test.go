package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFindTakesTheFirstThatFits(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	install := func(dir, version string) string { return fakeInstall(t, filepath.Join(root, dir), version) }
	own := install("own", "15.4")
	inPath := install("path", "16.1 (Debian 16.1-1)")
	old := install("old", "14.9")
	debian15 := install("usr/lib/postgresql/15/bin", "15.2")
	debian17 := install("usr/lib/postgresql/17/bin", "17beta1")
	notHere := func(string) (string, error) { return "", exec.ErrNotFound }
	packages := func(pattern string) ([]string, error) {
		if strings.HasPrefix(pattern, "/usr/lib/postgresql") {
			return []string{debian15, debian17}, nil
		}
		return nil, nil
	}
	none := func(string) ([]string, error) { return nil, nil }

	for _, test := range []struct {
		name     string
		binDir   string
		lookPath func(string) (string, error)
		glob     func(string) ([]string, error)
		want     Binaries
		wantErr  string
	}{
		{name: "pg_bin_dir_wins", binDir: own, lookPath: lookIn(inPath), glob: packages, want: Binaries{own, 15}},
		{name: "pg_bin_dir_too_old_is_an_error", binDir: old, lookPath: lookIn(inPath), glob: packages, wantErr: "PG_BIN_DIR"},
		{name: "pg_bin_dir_empty_is_an_error", binDir: root, lookPath: lookIn(inPath), glob: packages, wantErr: "has no initdb"},
		{name: "path_before_packages", lookPath: lookIn(inPath), glob: packages, want: Binaries{inPath, 16}},
		{name: "too_old_in_path_is_passed_over", lookPath: lookIn(old), glob: packages, want: Binaries{debian17, 17}},
		{name: "newest_package", lookPath: notHere, glob: packages, want: Binaries{debian17, 17}},
		{name: "nothing", lookPath: notHere, glob: none, wantErr: ErrNotFound.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := finder{getenv: func(string) string { return test.binDir }, lookPath: test.lookPath, glob: test.glob}
			got, err := f.find()
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("err = %v, want %q in it", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("found %v, want %v", got, test.want)
			}
		})
	}
}

// lookIn is a PATH with postgres in dir and nothing else.
func lookIn(dir string) func(string) (string, error) {
	return func(name string) (string, error) {
		if name != "postgres" {
			return "", exec.ErrNotFound
		}
		return filepath.Join(dir, name), nil
	}
}

// fakeInstall makes programs in dir that say they are that version.
func fakeInstall(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	for _, program := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestInstallOnlyAsRootOnDebian(t *testing.T) {
	t.Parallel()
	here := func(name string) (string, error) { return "/usr/bin/" + name, nil }
	missing := func(string) (string, error) { return "", exec.ErrNotFound }
	for _, test := range []struct {
		name string
		m    machine
		want bool
	}{
		{"root_on_debian", machine{osRelease: "NAME=x\nID=debian\n", lookPath: here}, true},
		{"root_on_ubuntu", machine{osRelease: "ID=ubuntu\nID_LIKE=debian\n", lookPath: here}, true},
		{"root_on_a_derivative", machine{osRelease: "ID=pop\nID_LIKE=\"ubuntu debian\"\n", lookPath: here}, true},
		{"root_on_fedora", machine{osRelease: "ID=fedora\n", lookPath: here}, false},
		{"root_without_apt", machine{osRelease: "ID=debian\n", lookPath: missing}, false},
		{"not_root", machine{euid: 1000, osRelease: "ID=debian\n", lookPath: here}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.m.canInstall(); got != test.want {
				t.Errorf("canInstall() = %t", got)
			}
			if !test.want {
				if err := test.m.install(t.Context()); !errors.Is(err, ErrNotFound) {
					t.Errorf("install() = %v, want the message that says what to do", err)
				}
			}
		})
	}
}

func TestInstallMakesNoServerOfTheMachine(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "postgresql-common", "createcluster.conf")
	var ran []string
	m := machine{
		osRelease:   "ID=debian\n",
		lookPath:    func(name string) (string, error) { return name, nil },
		clusterConf: conf,
		run: func(_ context.Context, name string, args ...string) error {
			if text, err := os.ReadFile(conf); err != nil || !strings.Contains(string(text), "create_main_cluster = false") {
				t.Errorf("%s runs before the default cluster is refused: %q, %v", name, text, err)
			}
			ran = append(ran, name+" "+args[0])
			return nil
		},
	}
	if err := m.install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"apt-get update", "apt-get install"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}

	m.run = func(context.Context, string, ...string) error { return fmt.Errorf("no network") }
	if err := m.install(t.Context()); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("install() = %v, want a way out in it", err)
	}
}
