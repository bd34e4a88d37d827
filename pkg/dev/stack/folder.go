package devstack

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// state is what the folder remembers from one run to the next.
type state struct {
	// Addrs are the addresses that were picked, by part.
	Addrs map[string]string `json:"addrs"`
}

func (s *Stack) openFolder() (err error) {
	if err := s.makeFolder(); err != nil {
		return err
	}
	if s.lock, err = lockFolder(s.dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			unlock(s.lock) // the first error tells more
		}
	}()
	// They may be from a stack that was killed: nothing that they say is true now.
	for _, stale := range []string{"dev.env", "pids.json"} {
		if err := s.remove(stale); err != nil {
			return err
		}
	}
	if s.state, err = readState(s.path("state.json")); err != nil {
		return err
	}
	s.masterKey = s.opts.MasterKey
	if s.masterKey == "" {
		if s.masterKey, err = keepSecret(s.path("master-key"), NewKey); err != nil {
			return err
		}
	}
	s.deliveryKey = s.opts.DeliveryKey
	if s.deliveryKey == "" && !s.opts.NoDeliveryKey && s.opts.NATSURL == "" {
		if s.deliveryKey, err = keepSecret(s.path("delivery-key"), NewKey); err != nil {
			return err
		}
	}
	if s.opts.Console {
		s.password, err = keepSecret(s.path("console-password"), newPassword)
	}
	return err
}

func (s *Stack) makeFolder() error {
	dir := s.opts.Dir
	if dir == "" {
		s.throwAway = true
		var err error
		if dir, err = os.MkdirTemp("", "coinhook-"); err != nil {
			return fmt.Errorf("a throw-away folder: %w", err)
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s.dir = dir
	if err := os.MkdirAll(s.path("logs"), 0o700); err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		// PostgreSQL runs as another user and passes through to its own folder.
		mode = 0o711
	}
	return os.Chmod(dir, mode)
}

// lockFolder keeps a second stack out. The lock ends with this process.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder, _ := os.ReadFile(path) // the message does without
		return nil, fmt.Errorf("another development stack (pid %s) uses %s: stop it, or choose another folder with --data",
			strings.TrimSpace(string(holder)), dir)
	}
	if err := file.Truncate(0); err == nil {
		fmt.Fprintln(file, os.Getpid()) // it only serves the message above
	}
	return file, nil
}

// unlock gives the folder back. To close the file is not enough: a program that
// this process is just starting has it open, too, until it runs its own code.
func unlock(file *os.File) error {
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}

func readState(path string) (state, error) {
	st := state{Addrs: map[string]string{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	if err != nil {
		return state{}, fmt.Errorf("%s cannot be read, remove it to have new ports picked: %w", path, err)
	}
	if st.Addrs == nil {
		st.Addrs = map[string]string{}
	}
	return st, nil
}

func (s *Stack) writeState() error {
	text, err := json.MarshalIndent(s.state, "", "  ")
	if err != nil {
		return err
	}
	return process.WriteFile(s.path("state.json"), append(text, '\n'), 0o600)
}

// keepSecret returns the secret in a file, and makes it the first time.
func keepSecret(path string, generate func() string) (string, error) {
	text, err := os.ReadFile(path)
	if err == nil && len(text) > 0 {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	secret := generate()
	return secret, process.WriteFile(path, []byte(secret+"\n"), 0o600)
}

// NewKey makes a master key or a delivery key.
func NewKey() string {
	var key [32]byte
	rand.Read(key[:]) // documented never to fail
	return base64.StdEncoding.EncodeToString(key[:])
}

func newPassword() string {
	var random [15]byte
	rand.Read(random[:]) // documented never to fail
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// writeDevEnv tells the coinhook command, and people, how to reach the stack.
// It is there only while the stack is ready.
func (s *Stack) writeDevEnv() error {
	text := strings.Join(process.KeyValues(s.Env()), "\n") + "\n"
	return process.WriteFile(s.path("dev.env"), []byte(text), 0o600)
}

func (s *Stack) remove(name string) error {
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
