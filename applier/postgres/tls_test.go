package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// writeCertificate makes a certificate for 127.0.0.1 that signs itself.
func writeCertificate(tb testing.TB, certFile, keyFile string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// demandTLS has a server take no connection without TLS. It returns its certificate.
func demandTLS(tb testing.TB, data, owner string) (certFile string) {
	tb.Helper()
	certFile, keyFile := filepath.Join(data, "tls.crt"), filepath.Join(data, "tls.key")
	writeCertificate(tb, certFile, keyFile)
	info, err := os.Stat(data)
	if err != nil {
		tb.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	for _, file := range []string{certFile, keyFile} { // PostgreSQL wants to own its key
		if err := os.Chown(file, int(stat.Uid), int(stat.Gid)); err != nil {
			tb.Fatal(err)
		}
	}
	hba := filepath.Join(data, "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(hba, []byte(strings.ReplaceAll("\n"+string(rules), "\nhost ", "\nhostssl ")), 0o600); err != nil {
		tb.Fatal(err)
	}
	_, db := postgrestest.OpenURL(tb, owner, postgres.Options{})
	for _, statement := range []string{
		"ALTER SYSTEM SET ssl_cert_file = '" + certFile + "'", "ALTER SYSTEM SET ssl_key_file = '" + keyFile + "'",
		"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()",
	} {
		execute(tb, db, statement)
	}
	return certFile
}

// A server may demand TLS, and its clients may check who it is.
func TestAServerThatDemandsTLS(t *testing.T) {
	t.Parallel()
	server, data := postgrestest.Own(t)
	certFile := demandTLS(t, data, server.URL("postgres"))
	open := func(query string) *postgres.Store {
		u, err := url.Parse(server.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = query
		s, _ := postgrestest.OpenURL(t, u.String(), postgres.Options{})
		return s
	}
	eventually(t, func() error { // a server reads its rules some time after it is told to
		return open("sslmode=verify-full&sslrootcert=" + url.QueryEscape(certFile)).Ping(t.Context())
	})
	if _, err := open("sslmode=verify-full&sslrootcert=" + url.QueryEscape(certFile)).Migrate(t.Context()); err != nil {
		t.Error(err)
	}
	other := filepath.Join(t.TempDir(), "other.crt")
	writeCertificate(t, other, other+".key")
	for query, want := range map[string]string{
		"sslmode=disable": "no encryption",
		"sslmode=verify-full&sslrootcert=" + url.QueryEscape(other): "certificate signed by unknown authority",
	} {
		if err := open(query).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}
