//go:build !unix

package cli

import "io/fs"

// isOwn: the development stack runs on Unix alone.
func isOwn(fs.FileInfo) bool { return true }
