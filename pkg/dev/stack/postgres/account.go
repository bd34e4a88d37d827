package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that PostgreSQL runs as. It refuses to run as root.
type account struct {
	name string
	// credential is nil for the caller's own user.
	credential *syscall.Credential
}

func findAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return account{name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody: " +
		"add one of them, run this as another user, or set DATABASE_URL to a server that runs already")
}

// own makes dir a folder that the account alone can use, and that it can
// reach: every parent must let it pass.
func (a account) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if a.credential == nil {
		return os.Chmod(dir, 0o700)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	// In a shared folder somebody else may have been first.
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || (stat.Uid != 0 && stat.Uid != a.credential.Uid) {
		return fmt.Errorf("%s belongs to somebody else", dir)
	}
	if err := os.Chown(dir, int(a.credential.Uid), int(a.credential.Gid)); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return a.reach(dir)
}

// reach tries what PostgreSQL will do, as the account: permissions alone do
// not tell (ACLs, mount options, user namespaces).
func (a account) reach(dir string) error {
	cmd := exec.Command("/bin/sh", "-c", `cd "$0" && : >.reachable && rm .reachable`, dir)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("user %s cannot use %s: %w %s", a.name, dir, err, out)
	}
	return nil
}

// home returns the folder for the cluster: wanted, or, where the account cannot
// reach that, one that has the same name each time for the same wanted.
func (a account) home(wanted string) (dir string, err error) {
	first := a.own(wanted)
	if first == nil || a.credential == nil {
		return wanted, first
	}
	// An empty folder that cannot be used would only puzzle.
	os.Remove(wanted) // not empty: it stays
	sum := sha256.Sum256([]byte(wanted))
	name := "coinhook-" + hex.EncodeToString(sum[:6])
	for _, parent := range []string{"/var/lib", os.TempDir(), "/tmp"} {
		dir := filepath.Join(parent, name)
		if a.own(dir) == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no folder for PostgreSQL: %w; choose a data folder that the user %s can reach", first, a.name)
}
