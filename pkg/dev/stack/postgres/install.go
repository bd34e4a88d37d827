package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// FindOrInstall returns the installed PostgreSQL, and installs one first where
// that is possible. say is told before anything is installed.
func FindOrInstall(ctx context.Context, say func(format string, args ...any)) (Binaries, error) {
	b, err := Find()
	if !errors.Is(err, ErrNotFound) || !thisMachine().canInstall() {
		return b, err
	}
	say("no PostgreSQL here: installing it with apt-get")
	if err := Install(ctx); err != nil {
		return Binaries{}, err
	}
	return Find()
}

// Install installs PostgreSQL with apt-get, without the cluster that the
// package would create and start. It needs root on Debian or Ubuntu and is
// ErrNotFound anywhere else.
func Install(ctx context.Context) error {
	return thisMachine().install(ctx)
}

// machine is what an installation depends on.
type machine struct {
	euid      int
	osRelease string
	lookPath  func(string) (string, error)
	// clusterConf tells Debian's packages whether to create a cluster.
	clusterConf string
	run         func(ctx context.Context, name string, args ...string) error
}

func thisMachine() machine {
	release, _ := os.ReadFile("/etc/os-release") // none: not Debian
	return machine{
		euid: os.Geteuid(), osRelease: string(release), lookPath: exec.LookPath,
		clusterConf: "/etc/postgresql-common/createcluster.conf", run: runQuiet,
	}
}

func (m machine) canInstall() bool {
	if m.euid != 0 {
		return false
	}
	if _, err := m.lookPath("apt-get"); err != nil {
		return false
	}
	for line := range strings.Lines(m.osRelease) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		if key == "ID" || key == "ID_LIKE" {
			for id := range strings.FieldsSeq(value) {
				if id == "debian" || id == "ubuntu" {
					return true
				}
			}
		}
	}
	return false
}

func (m machine) install(ctx context.Context) error {
	if !m.canInstall() {
		return ErrNotFound
	}
	if err := m.refuseDefaultCluster(); err != nil {
		return fmt.Errorf("prepare the installation of PostgreSQL: %w", err)
	}
	for _, args := range [][]string{
		{"update", "-q"},
		{"install", "-q", "-y", "--no-install-recommends", "postgresql"},
	} {
		if err := m.run(ctx, "apt-get", args...); err != nil {
			return fmt.Errorf("install PostgreSQL: %w; or set DATABASE_URL to a server that runs already", err)
		}
	}
	return nil
}

// refuseDefaultCluster keeps the package from creating and starting a server
// of the whole machine. A configuration that is there stays as it is.
func (m machine) refuseDefaultCluster() error {
	if err := os.MkdirAll(filepath.Dir(m.clusterConf), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(m.clusterConf, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString("create_main_cluster = false\n")
	return errors.Join(err, file.Close())
}

func runQuiet(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	// The last one keeps the file of refuseDefaultCluster without a question.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "UCF_FORCE_CONFFOLD=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		out = bytes.TrimSpace(out)
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out[max(0, len(out)-2000):])
	}
	return nil
}
