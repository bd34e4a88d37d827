//go:build !linux

package process

import (
	"errors"
	"syscall"
)

// attributes has no death signal to set: only Linux knows one.
func attributes(spec Spec) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: spec.Credential}
}

func enterNetwork(string) error { return errors.New("network namespaces: only Linux has them") }
