package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coinhook/coinhook/pkg/dev/cluster"
)

// Patch changes a source file for one build; the file itself stays as it is.
type Patch struct {
	// File is a path in the repository, or in Go's own sources after GOROOT/.
	File string
	// Old is there exactly once, and New takes its place.
	Old, New string
}

// programs are what a cluster runs.
var programs = []string{"./ingress/cmd/ingress", "./applier/cmd/applier", "./applier/cmd/coinhook", "./pkg/dev/cmd/devstack"}

// Build builds the product's programs with patches into dir. The product has no
// switches for faults: what tests need beyond it, they patch into a build.
func Build(ctx context.Context, repository, dir string, patches ...Patch) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	sources, err := os.MkdirTemp("", "coinhook-overlay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sources)
	overlay, err := writeOverlay(ctx, repository, sources, patches)
	if err != nil {
		return err
	}
	args := append([]string{"build", "-C", repository, "-overlay", overlay, "-o", dir + string(filepath.Separator)}, programs...)
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// writeOverlay writes the patched sources and the file that names them.
func writeOverlay(ctx context.Context, repository, dir string, patches []Patch) (path string, err error) {
	repository, err = filepath.Abs(repository)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find Go's sources: %w", err)
	}
	goroot := strings.TrimSpace(string(out))
	replaced := map[string]string{}
	for _, patch := range patches {
		original := filepath.Join(repository, patch.File)
		if file, ok := strings.CutPrefix(patch.File, "GOROOT/"); ok {
			original = filepath.Join(goroot, file)
		}
		current := original
		if earlier, ok := replaced[original]; ok {
			current = earlier
		}
		text, err := os.ReadFile(current)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(text), patch.Old); n != 1 {
			return "", fmt.Errorf("%s has this %d times, want once: the patch does not fit any more\n%s", patch.File, n, patch.Old)
		}
		copied := filepath.Join(dir, fmt.Sprintf("%d-%s", len(replaced), filepath.Base(original)))
		if current != original {
			copied = current
		}
		if err := os.WriteFile(copied, []byte(strings.Replace(string(text), patch.Old, patch.New, 1)), 0o644); err != nil {
			return "", err
		}
		replaced[original] = copied
	}
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o644)
}

// ClockPatch has a program read how far its clock is off from a file, at each
// look at the clock. Timers and durations go by the monotonic clock, which no
// jump moves; so it is here. The kernel has one wall clock for all processes,
// and Go reads it without the C library.
var ClockPatch = Patch{
	File: "GOROOT/src/time/time.go",
	Old: `	sec, nsec, mono := runtimeNow()
	if mono == 0 {`,
	New: `	sec, nsec, mono := runtimeNow()
	if by := clockOffset(); by != 0 {
		at := sec*1e9 + int64(nsec) + by
		sec, nsec = at/1e9, int32(at%1e9)
	}
	if mono == 0 {`,
}

// clockSource is the rest of ClockPatch.
var clockSource = Patch{
	File: "GOROOT/src/time/sys_unix.go",
	Old: `// for testing: whatever interrupts a sleep
`,
	New: `var clockPage = openClock()

func openClock() []byte {
	path, ok := syscall.Getenv("` + cluster.ClockVariable + `")
	if !ok {
		return nil
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	return page
}

func clockOffset() int64 {
	if clockPage == nil {
		return 0
	}
	return *(*int64)(unsafe.Pointer(&clockPage[0]))
}

// for testing: whatever interrupts a sleep
`,
}

var clockImport = Patch{File: "GOROOT/src/time/sys_unix.go", Old: `	"syscall"
`, New: `	"syscall"
	"unsafe"
`}

// Clock are the patches of a build whose clocks can jump.
var Clock = []Patch{ClockPatch, clockSource, clockImport}
