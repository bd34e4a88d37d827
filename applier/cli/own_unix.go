//go:build unix

package cli

import (
	"io/fs"
	"os"
	"syscall"
)

// isOwn reports whether the caller or root owns a file or folder, and nobody else may
// write to it.
func isOwn(info fs.FileInfo) bool {
	const othersWrite = 0o022
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid()) && info.Mode().Perm()&othersWrite == 0
}
