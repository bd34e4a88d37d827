//go:build !linux

package cluster

import (
	"errors"
	"os"
	"path/filepath"
)

var errLinuxOnly = errors.New("only Linux has network namespaces")

func (n network) bridge() error           { return errLinuxOnly }
func (n network) addHosts([]string) error { return nil }
func (n network) close() error            { return nil }

// CutOneWay drops what one part sends another.
func (c *Cluster) CutOneWay(_, _ string) error { return errLinuxOnly }

// Mend ends all cuts.
func (c *Cluster) Mend() error { return nil }

func (c *Cluster) disk(name string, mib int) (string, error) {
	if mib != 0 {
		return "", errLinuxOnly
	}
	dir := filepath.Join(c.opts.Dir, "data", name)
	return dir, os.MkdirAll(dir, 0o755)
}

func (c *Cluster) unmount() error { return nil }
