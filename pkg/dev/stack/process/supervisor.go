package process

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Supervisor keeps a set of children running and a file of their process ids
// true.
type Supervisor struct {
	pidFile string
	logf    func(format string, args ...any)

	mu       sync.Mutex
	children []*Child
	// written is held while the file is written, so that the last write is
	// the latest state.
	written sync.Mutex
}

// NewSupervisor makes a supervisor that lists its running children in pidFile
// and reports what happens to them to logf.
func NewSupervisor(pidFile string, logf func(format string, args ...any)) *Supervisor {
	return &Supervisor{pidFile: pidFile, logf: logf}
}

// Supervise starts a child and keeps it running until it is stopped.
func (s *Supervisor) Supervise(spec Spec) *Child {
	c := newChild(spec, s.logf, s.writePIDs)
	s.mu.Lock()
	s.children = append(s.children, c)
	s.mu.Unlock()
	c.Start()
	return c
}

// Close ends the supervision. Children that still run are killed.
func (s *Supervisor) Close() {
	var wg sync.WaitGroup
	for _, c := range s.list() {
		wg.Go(c.close)
	}
	wg.Wait()
	s.writePIDs()
}

func (s *Supervisor) list() []*Child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.children[:len(s.children):len(s.children)]
}

// PIDEntry is one line of the file of process ids.
type PIDEntry struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
}

func (s *Supervisor) writePIDs() {
	s.written.Lock()
	defer s.written.Unlock()
	entries := []PIDEntry{}
	for _, c := range s.list() {
		if pid := c.PID(); pid != 0 {
			entries = append(entries, PIDEntry{Name: c.spec.Name, PID: pid})
		}
	}
	text, err := json.MarshalIndent(entries, "", "  ")
	if err == nil {
		err = WriteFile(s.pidFile, append(text, '\n'), 0o644)
	}
	if err != nil {
		s.logf("cannot keep %s true: %v", s.pidFile, err)
	}
}

// WriteFile replaces a file in one step: a reader sees the old or the new
// content, never a part.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already when the rename was done
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
