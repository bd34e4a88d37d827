package process

import (
	"io"
	"os"
	"strings"
)

// tailBytes is as far back as Tail looks.
const tailBytes = 16 << 10

// Tail returns the last lines of a log file that were written after its first
// from bytes, for an error message. It is empty when there is nothing to read.
func Tail(path string, from int64, lines int) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		file.Seek(max(from, size-tailBytes), io.SeekStart) // worst case: more lines than wanted
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Size is the length of a file, 0 when there is none.
func Size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
