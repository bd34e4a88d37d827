package service

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// version is set by the linker in a release: see .ci/release. Other builds have the
// version that Go derives from the repository.
var version string

// Build says which build a program is.
type Build struct {
	Version string // such as v1.2.3, or (devel)
	Commit  string // with +modified if the files differed from it; empty if it is not known
	Go      string
}

// ReadBuild returns the build of this program.
func ReadBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return readBuild(version, info)
}

func readBuild(released string, info *debug.BuildInfo) Build {
	b := Build{Version: cmp.Or(released, info.Main.Version, "(devel)"), Go: info.GoVersion}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified && b.Commit != "" {
		b.Commit += "+modified"
	}
	return b
}

func (b Build) String() string {
	return fmt.Sprintf("%s (commit %s, %s)", b.Version, cmp.Or(b.Commit, "unknown"), b.Go)
}

// FirstLine is a hook of a logger. It adds the build to the first line that is written.
func (b Build) FirstLine() zerolog.Hook {
	var once sync.Once
	return zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		if e.Enabled() {
			once.Do(func() { e.Str("version", b.Version).Str("commit", b.Commit).Str("go", b.Go) })
		}
	})
}

// register adds the metric that says which build runs.
func (b Build) register(r prometheus.Registerer) {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "coinhook_build_info",
		Help: "1, with the version, commit and Go version of the program as labels.",
	}, []string{"version", "commit", "go"})
	info.WithLabelValues(b.Version, b.Commit, b.Go).Set(1)
	r.MustRegister(info)
}
