//go:build !linux

package process

import "syscall"

// attributes has no death signal to set: only Linux knows one.
func attributes(spec Spec) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: spec.Credential}
}
