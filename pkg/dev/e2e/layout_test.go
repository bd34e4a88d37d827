package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const prefix = "github.com/coinhook/coinhook/"

var modules = []string{"proto", "pkg", "ingress", "applier"}

// goPackage is one of ours, or of others, as `go list` tells.
type goPackage struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

// listed has all packages that ours need, by path. Tests' needs are not in Deps.
var listed = sync.OnceValues(func() (map[string]goPackage, error) {
	args := []string{"list", "-C", repository, "-deps", "-json=ImportPath,Standard,Imports,TestImports,XTestImports,Deps"}
	for _, m := range modules {
		args = append(args, "./"+m+"/...")
	}
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return nil, err
	}
	all := map[string]goPackage{}
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	all, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ours returns the packages of this repository by their paths in it.
func ours(t *testing.T) map[string]goPackage {
	t.Helper()
	found := map[string]goPackage{}
	for path, p := range packages(t) {
		if short, ok := strings.CutPrefix(path, prefix); ok {
			found[short] = p
		}
	}
	if len(found) < 20 {
		t.Fatalf("%d packages of ours were found: the list is not to be trusted", len(found))
	}
	return found
}

func mustHave(t *testing.T, path string) goPackage {
	t.Helper()
	p, ok := packages(t)[prefix+path]
	if !ok {
		t.Fatalf("there is no package %s any more: mend this test", path)
	}
	return p
}

// isBelow reports whether a path is one of a tree of packages.
func isBelow(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func isBelowAny(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return isBelow(path, root) })
}

func TestProgramsNeedNothingThatIsNotTheirs(t *testing.T) {
	t.Parallel()
	const (
		server, pq, sqlx, goose = "github.com/nats-io/nats-server", "github.com/lib/pq", "github.com/jmoiron/sqlx", "github.com/pressly/goose"
		devstackLibrary         = prefix + "pkg/dev/stack"
		devLibraries            = prefix + "pkg/dev"
	)
	for program, banned := range map[string][]string{
		"ingress/cmd/ingress":  {server, pq, sqlx, goose, "database/sql", prefix + "applier", devstackLibrary, devLibraries, "testing"},
		"applier/cmd/applier":  {server, devstackLibrary, devLibraries, prefix + "ingress", "testing", "github.com/labstack/echo"},
		"applier/cmd/coinhook": {server, devstackLibrary, devLibraries, prefix + "ingress", "testing"},
	} {
		t.Run(program, func(t *testing.T) {
			for _, dep := range mustHave(t, program).Deps {
				name := dep[strings.LastIndexByte(dep, '/')+1:]
				isTestHelper := strings.HasPrefix(dep, prefix) && strings.HasSuffix(name, "test")
				if isBelowAny(dep, banned...) || isTestHelper {
					t.Errorf("%s needs %s", program, dep)
				}
			}
		})
	}
}

// Third parties that these packages import themselves.
func TestTheVocabularyAndThePurePackagesHaveFewNeeds(t *testing.T) {
	t.Parallel()
	needsOfDefinitions := mustHave(t, "pkg/webhook").Deps // its YAML comes with it
	for path, allowed := range map[string][]string{
		"pkg/delivery":         nil,
		"pkg/secret":           nil,
		"pkg/signature":        {"filippo.io/edwards25519"}, // what no key may be
		"pkg/webhook":          {"github.com/goccy/go-yaml"},
		"ingress":              nil,
		"applier":              nil,
		"applier/ledger":       nil,
		"applier/mapping":      {"github.com/go-json-experiment/json"},
		"applier/admin":        nil,
		"applier/admin/lines":  nil,
		"applier/admin/redact": {"github.com/go-json-experiment/json"},
	} {
		t.Run(path, func(t *testing.T) {
			p := mustHave(t, path)
			for _, dep := range p.Deps {
				if !isForeign(t, dep) || isBelowAny(dep, allowed...) {
					continue
				}
				if !slices.Contains(needsOfDefinitions, dep) || slices.Contains(p.Imports, dep) {
					t.Errorf("%s needs %s", path, dep)
				}
			}
			for _, imported := range p.Imports {
				if isBelowAny(imported, "database/sql", "os/exec") || imported == "net/http" && path != "ingress" {
					t.Errorf("%s, which does no I/O, imports %s", path, imported)
				}
			}
		})
	}
}

func isForeign(t *testing.T, path string) bool {
	t.Helper()
	return !packages(t)[path].Standard && !strings.HasPrefix(path, prefix)
}

func TestEachThirdPartyHasOneImporter(t *testing.T) {
	t.Parallel()
	const bench, peer, faults = "pkg/dev/bench", "pkg/dev/bench/peer", "pkg/dev/faults" // look from the outside, as these tests do
	for _, rule := range []struct {
		module    string
		importers []string // packages, without their tests
		tests     []string // packages whose tests may, too; with what is below
	}{
		{"github.com/nats-io/nats.go", []string{"pkg/broker", "pkg/broker/brokertest", bench, peer, faults}, []string{"pkg/broker", "pkg/dev/stack", "pkg/dev/e2e", peer}},
		{"github.com/nats-io/nats-server", []string{"pkg/broker/brokertest", "pkg/dev/stack/natsserver"}, []string{"pkg/broker", "pkg/dev/stack"}},
		{"github.com/labstack/echo", []string{"ingress/server", "applier/console", "pkg/proxies", peer}, []string{"ingress/server", "applier/console"}},
		{"github.com/jmoiron/sqlx", []string{"applier/postgres", "applier/postgres/internal/pg"}, []string{"applier/postgres"}},
		{
			"github.com/lib/pq",
			[]string{"applier/postgres", "applier/postgres/internal/pg", "applier/postgres/postgrestest", "pkg/dev/stack/postgres", bench, peer, faults},
			[]string{"applier/postgres", "pkg/dev/stack", "pkg/dev/e2e"},
		},
		{"github.com/pressly/goose", []string{"applier/postgres"}, []string{"applier/postgres"}},
		{"github.com/goccy/go-yaml", []string{"pkg/webhook"}, []string{"pkg/webhook", "pkg/dev/shipping"}},
		{"github.com/alecthomas/kong", []string{"applier/cli"}, []string{"applier/cli"}},
	} {
		t.Run(filepath.Base(rule.module), func(t *testing.T) {
			found := false
			for path, p := range ours(t) {
				for _, imported := range p.Imports {
					if !isBelow(imported, rule.module) {
						continue
					}
					found = true
					if !slices.Contains(rule.importers, path) {
						t.Errorf("%s imports %s", path, imported)
					}
				}
				for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
					if isBelow(imported, rule.module) && !isBelowAny(path, rule.tests...) {
						t.Errorf("a test of %s imports %s", path, imported)
					}
				}
			}
			if !found {
				t.Errorf("nobody imports %s: this rule cannot fail", rule.module)
			}
		})
	}
}

func TestModulesImportDownwardsOnly(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"proto":   {"proto"},
		"pkg":     {"proto", "pkg"},
		"ingress": {"proto", "pkg", "ingress"},
		"applier": {"proto", "pkg", "applier"},
	}
	for path, p := range ours(t) {
		module, _, _ := strings.Cut(path, "/")
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			other, isOurs := strings.CutPrefix(imported, prefix)
			if to, _, _ := strings.Cut(other, "/"); isOurs && !slices.Contains(allowed[module], to) {
				t.Errorf("%s imports %s", path, imported)
			}
		}
	}
}

func TestAdaptersDoNotKnowEachOther(t *testing.T) {
	t.Parallel()
	adapters := []string{"pkg/broker", "applier/postgres", "applier/console", "applier/api", "ingress/server"}
	for _, adapter := range adapters {
		if _, ok := ours(t)[adapter]; !ok {
			continue // not every one is there yet
		}
		for _, imported := range mustHave(t, adapter).Imports {
			short := strings.TrimPrefix(imported, prefix)
			if short != adapter && slices.Contains(adapters, short) {
				t.Errorf("%s imports %s", adapter, short)
			}
		}
	}
}

// The command, the pages and the read API are faces of the same services.
func TestAdaptersDoNotReachPostgreSQLPastAdmin(t *testing.T) {
	t.Parallel()
	faces := []string{"applier/cli", "applier/console", "applier/api"}
	for _, face := range faces {
		for _, imported := range mustHave(t, face).Imports {
			if isBelow(imported, prefix+"applier/postgres") || imported == "database/sql" {
				t.Errorf("%s imports %s: put it into a service below applier/admin", face, imported)
			}
			if slices.Contains(faces, strings.TrimPrefix(imported, prefix)) {
				t.Errorf("%s imports %s: put them together in applier/cmd/coinhook", face, imported)
			}
		}
	}
}

// A decision that needs a database is not a decision of the ledger.
func TestTheVocabularyAndTheLedgerNeedNoDatabase(t *testing.T) {
	t.Parallel()
	for _, dep := range mustHave(t, "applier/ledger").Deps {
		if isBelowAny(dep, prefix+"applier/postgres", "database/sql") {
			t.Errorf("the ledger needs %s", dep)
		}
	}
}

// Jobs run in an applier, admin services in the admin's programs. Only the audit is both:
// an admin asks for it, and appliers run it all the time. The vocabulary is no service: the
// store fills it for both.
func TestModulesImportNoOtherWing(t *testing.T) {
	t.Parallel()
	const audit, vocabulary = "applier/jobs/audit", "applier/admin"
	for path, p := range ours(t) {
		for _, imported := range p.Imports {
			other := strings.TrimPrefix(imported, prefix)
			isAdminToJobs := isBelow(path, vocabulary) && isBelow(other, "applier/jobs") && other != audit
			isJobsToAdmin := isBelow(path, "applier/jobs") && isBelow(other, vocabulary) && other != vocabulary
			if isAdminToJobs || isJobsToAdmin {
				t.Errorf("%s imports %s", path, other)
			}
		}
	}
}

// The workspace hides what a module's go.mod does not require. -export compiles, and links
// no program.
func TestEachModuleBuildsOnItsOwn(t *testing.T) {
	t.Parallel()
	for _, module := range modules {
		t.Run(module, func(t *testing.T) {
			cmd := exec.CommandContext(withDeadline(t), "go", "list", "-C", filepath.Join(repository, module), "-mod=readonly", "-export", "-f", "{{.ImportPath}}", "./...")
			cmd.Env = append(os.Environ(), "GOWORK=off")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
