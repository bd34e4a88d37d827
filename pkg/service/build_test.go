package service

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"runtime/debug"
	"testing"

	"github.com/rs/zerolog"
)

func TestReadBuild(t *testing.T) {
	t.Parallel()
	at := func(settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v0.0.0-2026"}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "abc"}
	for _, tt := range []struct {
		name, released string
		info           *debug.BuildInfo
		want           string
	}{
		{"a release", "v1.2.3", at(revision), "v1.2.3 (commit abc, go1.26.8)"},
		{"a build of a commit", "", at(revision, debug.BuildSetting{Key: "vcs.modified", Value: "false"}), "v0.0.0-2026 (commit abc, go1.26.8)"},
		{"changed files", "", at(revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "v0.0.0-2026 (commit abc+modified, go1.26.8)"},
		{"without a repository", "", &debug.BuildInfo{GoVersion: "go1.26.8"}, "(devel) (commit unknown, go1.26.8)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := readBuild(tt.released, tt.info).String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTheRegistryNamesTheBuild(t *testing.T) {
	t.Parallel()
	families, err := NewRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "coinhook_build_info" {
			continue
		}
		labels := map[string]string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if want := ReadBuild(); labels["version"] != want.Version || labels["go"] != want.Go || labels["go"] == "" {
			t.Errorf("labels are %v, want those of %v", labels, want)
		}
		return
	}
	t.Error("there is no coinhook_build_info")
}

func TestTheFirstLineOfAServiceIsItsBuild(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := process{environ: []string{"LOG_FORMAT=json"}, stdout: io.Discard, stderr: &out}
	if code := execute(t.Context(), p, "counter", "counts.", func(_ context.Context, _ testSettings, log zerolog.Logger) error {
		log.Debug().Msg("unseen")
		log.Info().Msg("running")
		log.Info().Msg("still running")
		return nil
	}); code != exitDone {
		t.Fatalf("exit %d: %s", code, &out)
	}
	var line struct{ Message, Version, Commit, Go string }
	lines := json.NewDecoder(&out)
	if err := lines.Decode(&line); err != nil {
		t.Fatal(err)
	}
	if want := ReadBuild(); line.Message != "running" || line.Version != want.Version || line.Commit != want.Commit || line.Go != want.Go {
		t.Errorf("the first line is %+v, want %v", line, want)
	}
	line.Version = ""
	if err := lines.Decode(&line); err != nil || line.Message != "still running" || line.Version != "" {
		t.Errorf("the second line is %+v, %v, want one without the build", line, err)
	}
}
