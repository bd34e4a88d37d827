//go:build !linux

package cluster

// Enclosed reports whether this process has network, mounts and processes of its
// own.
func Enclosed() bool { return false }

// CanEnclose says why this process cannot be enclosed.
func CanEnclose() error { return errLinuxOnly }

// Enclose cannot work here.
func Enclose() (status int, done bool, err error) { return 1, true, errLinuxOnly }
