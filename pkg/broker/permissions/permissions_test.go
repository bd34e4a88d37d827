package permissions_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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
	writeCertificate(t, dir)
	for _, block := range blocks {
		config := filepath.Join(dir, "nats.conf")
		text := strings.NewReplacer("/etc/nats", dir, "/data", dir).Replace(string(block[1]))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var opts server.Options
		if err := opts.ProcessConfigFile(config); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		srv, err := server.NewServer(&opts) // it also compares the parts with each other
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		srv.Shutdown()
	}
}

// writeCertificate writes one that is its own authority, under the names that the page has.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]pem.Block{
		"server.pem": {Type: "CERTIFICATE", Bytes: certificate}, "ca.pem": {Type: "CERTIFICATE", Bytes: certificate},
		"server-key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
