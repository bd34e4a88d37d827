package shipping

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

type composeFile struct {
	Services map[string]struct {
		Build       any      `yaml:"build"`
		Image       string   `yaml:"image"`
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		MemLimit    string   `yaml:"mem_limit"`
		PidsLimit   int      `yaml:"pids_limit"`
		Privileged  bool     `yaml:"privileged"`

		Environment map[string]string `yaml:"environment"`
	} `yaml:"services"`
}

func readCompose(t *testing.T) (file composeFile) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(repository, "docker-compose.yml"))), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestComposeSetsWhatProgramsRead: a program ignores a variable that it does not know. A
// proxy in front and the room on the disk are settings of every installation.
func TestComposeSetsWhatProgramsRead(t *testing.T) {
	t.Parallel()
	settings := read(t, filepath.Join(repository, "docs", "reference", "settings.md"))
	services := readCompose(t).Services
	for name, s := range services {
		for variable := range s.Environment {
			if s.Build != nil && !strings.Contains(settings, "`"+variable+"`") {
				t.Errorf("%s is given %s, which no program reads", name, variable)
			}
		}
	}
	for name, want := range map[string][]string{
		"ingress": {"TRUSTED_PROXIES"}, "console": {"TRUSTED_PROXIES"}, "applier": {"STREAM_RETENTION", "HISTORY_RETENTION"},
	} {
		for _, variable := range want {
			if _, ok := services[name].Environment[variable]; !ok {
				t.Errorf("%s has no %s: a line of .env would do nothing", name, variable)
			}
		}
	}
}

func TestComposeGivesContainersNoMoreThanTheyNeed(t *testing.T) {
	t.Parallel()
	file := readCompose(t)
	if len(file.Services) < 6 {
		t.Fatalf("only %d services were read", len(file.Services))
	}
	for name, s := range file.Services {
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") ||
			s.MemLimit == "" || s.PidsLimit == 0 || s.Privileged {
			t.Errorf("%s is not confined: %+v", name, s)
		}
		if s.Build != nil && !s.ReadOnly {
			t.Errorf("%s can write to its own programs", name)
		}
		if s.Build == nil && (!strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest")) {
			t.Errorf("%s takes any image: %q", name, s.Image)
		}
	}
}

var (
	stage = regexp.MustCompile(`(?m)^FROM (\S+)( AS (\S+))?$`)
	user  = regexp.MustCompile(`(?m)^USER ([0-9]+):([0-9]+)$`)
)

// TestImagesRunAsNobodySpecial: Kubernetes' runAsNonRoot takes a number alone.
func TestImagesRunAsNobodySpecial(t *testing.T) {
	t.Parallel()
	for _, module := range shipped {
		text := read(t, filepath.Join(repository, module, "Dockerfile"))
		for _, m := range stage.FindAllStringSubmatch(text, -1) {
			if strings.HasSuffix(m[1], ":latest") {
				t.Errorf("%s builds on %s", module, m[1])
			}
		}
		users := user.FindAllStringSubmatch(text, -1)
		if len(users) != 1 || users[0][1] == "0" || strings.Count(text, "\nUSER ") != 1 {
			t.Errorf("%s: one numeric USER that is not root is wanted: %v", module, users)
		}
		for _, file := range []string{"LICENSE", "THIRD_PARTY_NOTICES.txt"} {
			if !regexp.MustCompile(`(?m)^COPY [^\n]*\b` + file + `\b`).MatchString(text) {
				t.Errorf("%s: the image has no %s", module, file)
			}
		}
	}
}

// TestWorkflowsUseFixedActions: a tag of somebody else can be moved, a commit cannot.
func TestWorkflowsUseFixedActions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(repository, ".github", "workflows", "*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	uses := regexp.MustCompile(`uses: (.*)`)
	fixed := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for _, path := range files {
		text := read(t, path)
		if !strings.Contains(text, "\npermissions:\n  contents: read\n") {
			t.Errorf("%s: jobs get more than reading by default", path)
		}
		for _, m := range uses.FindAllStringSubmatch(text, -1) {
			if !fixed.MatchString(m[1]) {
				t.Errorf("%s: %s", path, m[1])
			}
		}
	}
}

// TestScriptsCanBeRun, as the Makefile and the workflows do.
func TestScriptsCanBeRun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"run", "vuln", "release"} {
		info, err := os.Stat(filepath.Join(repository, ".ci", name))
		if err != nil || info.Mode()&0o111 == 0 {
			t.Errorf(".ci/%s: %v, %v", name, info, err)
		}
	}
}
