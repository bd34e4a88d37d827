package permissions_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/coinhook/coinhook/pkg/broker/permissions"
)

// shape is what a server makes of its users.
func shape(opts *server.Options) map[string]server.Permissions {
	users := map[string]server.Permissions{}
	for _, u := range opts.Users {
		users[u.Username+" with "+u.Password+" in "+u.Account.Name] = *u.Permissions
	}
	return users
}

// The account of the ingresses imports what they may use. One subject more keeps the
// server from answering in the place of the other account.
func TestTheIngressImportsWhatItMayUse(t *testing.T) {
	t.Parallel()
	var opts server.Options
	if err := opts.ProcessConfigString(permissions.Config(func(string) string { return "pw" })); err != nil {
		t.Fatal(err)
	}
	srv, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	seen, err := srv.Accountz(&server.AccountzOptions{Account: "COINHOOK_INGRESS"})
	if err != nil {
		t.Fatal(err)
	}
	imported := map[jwt.ExportType][]string{}
	for _, i := range seen.Account.Imports {
		if i.Account != permissions.Account || i.Invalid {
			t.Errorf("%s is imported from %s, invalid: %t", i.Subject, i.Account, i.Invalid)
		}
		imported[i.Type] = append(imported[i.Type], string(i.Subject))
	}
	for _, u := range opts.Users {
		if u.Username != "ingress" {
			continue
		}
		sorted := cmpopts.SortSlices(strings.Compare)
		if diff := cmp.Diff(append(u.Permissions.Publish.Allow, "$JS.API.INFO"), imported[jwt.Service], sorted); diff != "" {
			t.Errorf("may be published (-), goes to the other account (+):\n%s", diff)
		}
		if diff := cmp.Diff(u.Permissions.Subscribe.Allow, append(imported[jwt.Stream], "_INBOX.ingress.>"), sorted); diff != "" {
			t.Errorf("may be subscribed to (-), comes from the other account (+):\n%s", diff)
		}
	}
}

// Operators include the files; tests and the development stack use them as one.
func TestTheFilesAreWhatTestsUse(t *testing.T) {
	const password = "12e4" // a number, but for the quotes
	for _, user := range permissions.Users {
		t.Setenv(permissions.Variable(user), `"`+password+`"`)
	}
	var included, asOne server.Options
	if err := included.ProcessConfigFile("users.conf"); err != nil {
		t.Fatal(err)
	}
	if err := asOne.ProcessConfigString(permissions.Config(func(string) string { return password })); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shape(&included), shape(&asOne)); diff != "" || len(asOne.Users) != len(permissions.Users) {
		t.Errorf("files (-), as one (+):\n%s", diff)
	}
}

// The page for operators has a configuration with users of their own.
func TestTheConfigurationInTheDocumentationWorks(t *testing.T) {
	for _, user := range permissions.Users {
		t.Setenv(permissions.Variable(user), `"secret"`)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "operate", "nats.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```conf\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Fatal("docs/operate/nats.md has no configuration")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		config := filepath.Join(dir, "nats.conf")
		if err := os.WriteFile(config, block[1], 0o600); err != nil {
			t.Fatal(err)
		}
		var opts server.Options
		if err := opts.ProcessConfigFile(config); err != nil && !strings.Contains(err.Error(), "no such file") { // certificates
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
}
