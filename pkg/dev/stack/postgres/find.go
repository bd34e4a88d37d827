// Package postgres runs a private PostgreSQL: for the development stack, and
// for tests that want a real one. It finds the binaries, makes the cluster,
// and starts the server as an unprivileged user with a password of its own.
package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MinMajor is the oldest version that is used.
const MinMajor = 15

// Binaries is an installed PostgreSQL.
type Binaries struct {
	// Dir holds initdb and postgres.
	Dir string
	// Major is the major version, such as 15.
	Major int
}

func (b Binaries) postgres() string { return filepath.Join(b.Dir, "postgres") }
func (b Binaries) initdb() string   { return filepath.Join(b.Dir, "initdb") }

// tool is another program of the installation. Where Dir has links to some of
// the programs only, it is next to what they lead to.
func (b Binaries) tool(name string) string {
	path := filepath.Join(b.Dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(b.postgres()); err == nil {
		return filepath.Join(filepath.Dir(real), name)
	}
	return path
}

// ErrNotFound says that there is no PostgreSQL to use, and what to do.
var ErrNotFound = errors.New("no PostgreSQL " + strconv.Itoa(MinMajor) + " or newer was found: install it " +
	"(Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), " +
	"set PG_BIN_DIR to the folder of its initdb and postgres, or set DATABASE_URL to a server that runs already")

// Find looks for an installed PostgreSQL: PG_BIN_DIR, PATH, pg_config, then the
// usual places of Debian, RPM and Homebrew packages, newest first. The error is
// ErrNotFound when there is none. A PG_BIN_DIR that does not fit is an error of
// its own: an explicit setting excludes all others.
func Find() (Binaries, error) {
	return finder{getenv: os.Getenv, lookPath: exec.LookPath, glob: filepath.Glob}.find()
}

type finder struct {
	getenv   func(string) string
	lookPath func(string) (string, error)
	glob     func(string) ([]string, error)
}

func (f finder) find() (Binaries, error) {
	if dir := f.getenv("PG_BIN_DIR"); dir != "" {
		b, err := inspect(dir)
		if err != nil {
			return Binaries{}, fmt.Errorf("PG_BIN_DIR: %w", err)
		}
		return b, nil
	}
	for _, dir := range f.candidates() {
		if b, err := inspect(dir); err == nil {
			return b, nil
		}
	}
	return Binaries{}, ErrNotFound
}

func (f finder) candidates() []string {
	var dirs []string
	if path, err := f.lookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
		// A package manager's link in PATH leads to where initdb is, too.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	if path, err := f.lookPath("pg_config"); err == nil {
		if out, err := exec.Command(path, "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(out)))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := f.glob(pattern) // only a bad pattern fails
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(majorOf(b), majorOf(a)) })
		dirs = append(dirs, found...)
	}
	return dirs
}

// majorOf returns the version that a package has in the name of its folder,
// such as 16 for /usr/pgsql-16/bin.
func majorOf(dir string) int { return numberIn(filepath.Base(filepath.Dir(dir))) }

// numberIn returns the first number in a text, 0 when there is none.
func numberIn(text string) int {
	start := strings.IndexAny(text, "0123456789")
	if start < 0 {
		return 0
	}
	digits := text[start:]
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, _ := strconv.Atoi(digits) // digits only
	return n
}

func inspect(dir string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, err
	}
	b := Binaries{Dir: dir}
	if _, err := exec.LookPath(b.initdb()); err != nil {
		return Binaries{}, fmt.Errorf("%s has no initdb", dir)
	}
	cmd := exec.Command(b.postgres(), "--version")
	cmd.Env = []string{"LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("%s --version: %w", b.postgres(), err)
	}
	// The answer is such as: postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
	_, version, _ := strings.Cut(string(out), "(PostgreSQL) ")
	b.Major = numberIn(version)
	if b.Major < MinMajor {
		return Binaries{}, fmt.Errorf("%s is %q, %d or newer is needed", b.postgres(), strings.TrimSpace(string(out)), MinMajor)
	}
	return b, nil
}
