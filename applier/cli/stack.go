package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// findStack reads .coinhook/dev.env of this folder or the nearest one above. A
// development stack writes it once it is ready, and removes it when it stops. One that
// somebody else could have written is not used: it says where secrets are sent.
func (a *app) findStack() map[string]string {
	for dir := a.Dir; ; dir = filepath.Dir(dir) {
		content, err := readOwn(filepath.Join(dir, ".coinhook", "dev.env"))
		switch {
		case err == nil:
			return parseEnv(content)
		case errors.Is(err, errForeign):
			a.say("%s is not used: %v.", filepath.Join(dir, ".coinhook", "dev.env"), err)
			return nil
		case filepath.Dir(dir) == dir:
			return nil
		}
	}
}

var errForeign = errors.New("somebody else owns it or its folder, or may write to it")

// readOwn reads a file that nobody but the caller, or root, can have written.
func readOwn(path string) ([]byte, error) {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errForeign // a pipe would wait for its writer
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // it was only read
	if info, err = file.Stat(); err != nil {
		return nil, err
	}
	for _, f := range []fs.FileInfo{folder, info} {
		if !isOwn(f) {
			return nil, errForeign
		}
	}
	return io.ReadAll(io.LimitReader(file, maxFileBytes))
}

func parseEnv(content []byte) map[string]string {
	env := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[name] = value
		}
	}
	return env
}
