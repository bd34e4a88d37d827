package cluster

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ClockVariable names the file that holds a part's clock offset. Programs that
// were built with faults.Clock read it at each look at the clock.
const ClockVariable = "COINHOOK_FAULTS_CLOCK"

func (c *Cluster) clockFile(name string) string {
	return filepath.Join(c.opts.Dir, "clocks", name)
}

// clock gives a part a clock of its own that Jump moves.
func (c *Cluster) clock(name string, env []string) []string {
	path := c.clockFile(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return env
	}
	if err := os.WriteFile(path, make([]byte, 8), 0o644); err != nil {
		return env
	}
	return append(env, ClockVariable+"="+path)
}

// Jump sets how far a part's clock is off, at once. Only programs that were built
// for it see that.
func (c *Cluster) Jump(name string, by time.Duration) error {
	file, err := os.OpenFile(c.clockFile(name), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("the clock of %s: %w", name, err)
	}
	defer file.Close() // the write shows errors
	_, err = file.Write(binary.NativeEndian.AppendUint64(nil, uint64(by)))
	return err
}
