//go:build unix

package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAStackOfSomebodyElseIsNotBelieved: its settings would say where secrets are sent.
func TestAStackOfSomebodyElseIsNotBelieved(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of somebody else")
	}
	i := newInstallation(t)
	i.json(&webhookJSON{}, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	delete(i.env, "INGRESS_URL")
	i.dir = t.TempDir() // without the definition
	if err := os.Mkdir(filepath.Join(i.dir, ".coinhook"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(i.dir, i.write(".coinhook/dev.env", "INGRESS_URL=http://evil.example\n"))
	shows := func() (url, stderr string) {
		t.Helper()
		r := i.run("webhooks", "show", "Shop")
		if r.code != 0 {
			t.Fatalf("show: %+v", r)
		}
		for line := range strings.Lines(r.stdout) {
			if rest, ok := strings.CutPrefix(line, "url "); ok {
				url = strings.TrimSpace(rest)
			}
		}
		return url, r.stderr
	}
	const nobody = 65534
	for name, tc := range map[string]struct {
		spoil    func() error
		believed bool
	}{
		"as it was made":              {func() error { return nil }, true},
		"a file of somebody else":     {func() error { return os.Chown(path, nobody, nobody) }, false},
		"a folder of somebody else":   {func() error { return os.Chown(filepath.Dir(path), nobody, nobody) }, false},
		"a file that all may write":   {func() error { return os.Chmod(path, 0o666) }, false},
		"a folder that all may write": {func() error { return os.Chmod(filepath.Dir(path), 0o777) }, false},
		"a pipe": {func() error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return syscall.Mkfifo(path, 0o600)
		}, false},
	} {
		for _, mend := range []func() error{
			func() error { return os.RemoveAll(path) },
			func() error { return os.WriteFile(path, []byte("INGRESS_URL=http://evil.example\n"), 0o600) },
			func() error { return os.Chown(path, 0, 0) }, func() error { return os.Chmod(path, 0o600) },
			func() error { return os.Chown(filepath.Dir(path), 0, 0) }, func() error { return os.Chmod(filepath.Dir(path), 0o700) },
			tc.spoil,
		} {
			if err := mend(); err != nil {
				t.Fatal(err)
			}
		}
		url, stderr := shows()
		if believed := strings.HasPrefix(url, "http://evil.example/"); believed != tc.believed || !believed && !strings.Contains(stderr, "is not used") {
			t.Errorf("%s: the URL is %q; %s", name, url, stderr)
		}
	}
}
