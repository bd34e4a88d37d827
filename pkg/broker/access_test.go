package broker_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/broker/permissions"
	"github.com/coinhook/coinhook/pkg/service"
)

// authority signs certificates.
type authority struct {
	t      *testing.T
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	dir    string
	serial int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, "ca")
	return a
}

// sign writes NAME.pem and NAME-key.pem.
func (a *authority) sign(template *x509.Certificate, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serial++
	template.SerialNumber = big.NewInt(a.serial)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.write(name+"-key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	return cert, key
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name string, content []byte) string {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), content, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return a.path(name)
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// dial connects with what is logged.
func dial(t *testing.T, opts broker.Options) (*broker.Conn, *syncBuffer) {
	t.Helper()
	log := &syncBuffer{}
	opts.Name, opts.Log = t.Name(), zerolog.New(log)
	conn, err := broker.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn, log
}

func wantConnected(t testing.TB, conn *broker.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := conn.WaitConnected(ctx); err != nil {
		t.Error(err)
	}
}

// wantRefused waits until the refusal is known and logged.
func wantRefused(t *testing.T, conn *broker.Conn, log *syncBuffer, wants ...string) {
	t.Helper()
	select {
	case <-conn.Refused():
	case <-time.After(20 * time.Second):
		t.Fatal("no refusal was noticed")
	}
	err := conn.Ready(t.Context())
	if !errors.Is(err, broker.ErrRefused) {
		t.Errorf("Ready: %v, want that the broker refuses", err)
	}
	for _, want := range wants {
		if !contains(err, want) {
			t.Errorf("Ready: %v, want %q in it", err, want)
		}
		waitUntil(t, "it is logged: "+want, func() bool { return strings.Contains(log.String(), want) })
	}
}

func TestTLSWithClientCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "nats"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, "server")
	a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "ingress"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, "client")
	stranger := newAuthority(t)
	stranger.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "ingress"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, "client")
	url := brokertest.StartConfigured(t, fmt.Sprintf("tls {cert_file: %q, key_file: %q, ca_file: %q, verify: true}",
		a.path("server.pem"), a.path("server-key.pem"), a.path("ca.pem"))).URL()

	good := service.NATSFiles{CA: a.path("ca.pem"), Cert: a.path("client.pem"), Key: a.path("client-key.pem")}
	for _, tt := range []struct {
		name  string
		files service.NATSFiles
		wants []string // nil: it connects
	}{
		{name: "all", files: good},
		{"an unknown authority", service.NATSFiles{Cert: good.Cert, Key: good.Key}, []string{"unknown authority", "see NATS_CA"}},
		{"the wrong authority", service.NATSFiles{CA: stranger.path("ca.pem"), Cert: good.Cert, Key: good.Key}, []string{"unknown authority"}},
		{"no certificate", service.NATSFiles{CA: good.CA}, []string{"NATS_CERT"}},
		{
			"a stranger's certificate",
			service.NATSFiles{CA: good.CA, Cert: stranger.path("client.pem"), Key: stranger.path("client-key.pem")},
			[]string{"NATS_CERT"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, log := dial(t, broker.Options{URL: url, Files: tt.files})
			if tt.wants == nil {
				wantConnected(t, conn)
				if err := conn.CheckServers(t.Context(), 1); err != nil {
					t.Error(err)
				}
				return
			}
			wantRefused(t, conn, log, tt.wants...)
		})
	}
}

func TestTLSThatTheServerDoesNotHave(t *testing.T) {
	t.Parallel()
	conn, log := dial(t, broker.Options{URL: brokertest.Start(t).URL(), Files: service.NATSFiles{CA: newAuthority(t).path("ca.pem")}})
	wantRefused(t, conn, log, "the server has no TLS")
}

func newUser(t *testing.T) (key nkeys.KeyPair, public, seed string) {
	t.Helper()
	return newKey(t, nkeys.CreateUser)
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) (key nkeys.KeyPair, public, seed string) {
	t.Helper()
	key, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err = key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return key, public, string(secret)
}

func TestNkeys(t *testing.T) {
	t.Parallel()
	_, public, seed := newUser(t)
	_, _, other := newUser(t)
	a := newAuthority(t)
	url := brokertest.StartConfigured(t, fmt.Sprintf("authorization {users: [{nkey: %s}]}", public)).URL()

	conn, _ := dial(t, broker.Options{URL: url, Files: service.NATSFiles{Nkey: a.write("seed", []byte(seed+"\n"))}})
	wantConnected(t, conn)
	if err := conn.CheckServers(t.Context(), 1); err != nil {
		t.Error(err)
	}
	conn, log := dial(t, broker.Options{URL: url, Files: service.NATSFiles{Nkey: a.write("other", []byte(other))}})
	wantRefused(t, conn, log, "Authorization Violation", "NATS_NKEY")
}

// The users of an operator are in JWTs, and their credentials in files.
func TestCredentials(t *testing.T) {
	t.Parallel()
	operator, operatorKey, _ := newKey(t, nkeys.CreateOperator)
	account, accountKey, _ := newKey(t, nkeys.CreateAccount)
	_, systemKey, _ := newKey(t, nkeys.CreateAccount)
	encode := func(claims jwt.Claims, by nkeys.KeyPair) string {
		text, err := claims.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	claims := jwt.NewOperatorClaims(operatorKey)
	claims.SystemAccount = systemKey
	accountClaims := jwt.NewAccountClaims(accountKey)
	accountClaims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	url := brokertest.StartConfigured(t, fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {%s: %s, %s: %s}",
		encode(claims, operator), systemKey,
		accountKey, encode(accountClaims, operator), systemKey, encode(jwt.NewAccountClaims(systemKey), operator))).URL()
	credentials := func(signer nkeys.KeyPair, expires time.Time) []byte {
		_, userKey, seed := newUser(t)
		user := jwt.NewUserClaims(userKey)
		user.Expires = expires.Unix()
		text, err := jwt.FormatUserConfig(encode(user, signer), []byte(seed))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	a, later := newAuthority(t), time.Now().Add(time.Hour)

	conn, _ := dial(t, broker.Options{URL: url, Files: service.NATSFiles{Creds: a.write("creds", credentials(account, later))}})
	wantConnected(t, conn)
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Error(err)
	}
	_, _, strangerSeed := newKey(t, nkeys.CreateAccount)
	stranger, err := nkeys.FromSeed([]byte(strangerSeed))
	if err != nil {
		t.Fatal(err)
	}
	path := a.write("stranger", credentials(stranger, later))
	conn, log := dial(t, broker.Options{URL: url, Files: service.NATSFiles{Creds: path}})
	wantRefused(t, conn, log, "Authorization Violation", "NATS_CREDS")
	// The file is read at each connect: new credentials need no restart.
	a.write("stranger", credentials(account, later))
	wantConnected(t, conn)
}

// The client of NATS gives up for good after a second refusal.
func TestRefusedCredentialsAreTriedAgain(t *testing.T) {
	t.Parallel()
	users := func(password string) string {
		return fmt.Sprintf("authorization {users: [{user: ingress, password: %q}]}", password)
	}
	server := brokertest.StartConfigured(t, users("old"))
	url := strings.Replace(server.URL(), "://", "://ingress:new@", 1)
	conn, log := dial(t, broker.Options{URL: url})
	wantRefused(t, conn, log, "Authorization Violation", "NATS_URL")
	if text := log.String(); strings.Contains(text, "new") {
		t.Errorf("the log has the password:\n%s", text)
	}
	server.Reload(users("new"))
	wantConnected(t, conn)
	if err := conn.Objection(); err != nil {
		t.Errorf("connected, and %v", err)
	}
	// A connection whose password has ended is refused when it connects again.
	server.Reload(users("newer"))
	waitUntil(t, "the end of the password is noticed", func() bool { return errors.Is(conn.Objection(), broker.ErrRefused) })
	server.Reload(users("new"))
	wantConnected(t, conn)
}

func TestPermissionViolationsAreNamed(t *testing.T) {
	t.Parallel()
	server := brokertest.StartConfigured(t, `authorization {users: [{user: u, password: p, permissions: {publish: none, subscribe: "_INBOX.>"}}]}`)
	conn, log := dial(t, broker.Options{URL: strings.Replace(server.URL(), "://", "://u:p@", 1)})
	wantConnected(t, conn)
	for range 3 {
		if err := conn.HintPartitions(); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "the violation is known", func() bool { return conn.Objection() != nil })
	for _, want := range []string{"lacks a permission", `Publish to "coinhook.partitions"`} {
		if err := conn.Objection(); !contains(err, want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	if lines := strings.Count(log.String(), "lacks a permission"); lines != 1 {
		t.Errorf("%d lines, want 1:\n%s", lines, log)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := conn.Ready(ctx); !contains(err, "lacks a permission") {
		t.Errorf("Ready: %v", err)
	}
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "client"}}, "client")
	text := a.write("text", []byte("hello"))
	_, _, seed := newUser(t)
	nkey := a.write("nkey", []byte(seed))
	for name, tt := range map[string]struct {
		files service.NATSFiles
		want  string
	}{
		"credentials of another kind": {service.NATSFiles{Creds: text}, "NATS_CREDS=\"" + text + "\": no credentials: "},
		"a seed in credentials":       {service.NATSFiles{Creds: nkey}, "NATS_CREDS=\"" + nkey + "\": no credentials: "},
		"no seed":                     {service.NATSFiles{Nkey: text}, "NATS_NKEY=\"" + text + "\": "},
		"no certificates":             {service.NATSFiles{CA: text}, "NATS_CA=\"" + text + "\": "},
		"a key of another one":        {service.NATSFiles{Cert: a.path("ca.pem"), Key: a.path("client-key.pem")}, "NATS_CERT=\"" + a.path("ca.pem") + "\": "},
		"a certificate alone":         {service.NATSFiles{Cert: a.path("client.pem")}, "NATS_CERT and NATS_KEY go together"},
		"a key alone":                 {service.NATSFiles{Key: a.path("client-key.pem")}, "NATS_CERT and NATS_KEY go together"},
		"two users":                   {service.NATSFiles{Creds: text, Nkey: nkey}, "NATS_NKEY is set, too"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := broker.Connect(broker.Options{URL: "nats://127.0.0.1:1", Files: tt.files, Log: zerolog.New(&bytes.Buffer{})})
			if _, ok := errors.AsType[*service.SettingError](err); !ok || !contains(err, tt.want) {
				t.Errorf("%v (%T), want a SettingError with %q", err, err, tt.want)
			}
			if strings.Contains(fmt.Sprint(err), seed) {
				t.Errorf("the error has the seed: %v", err)
			}
		})
	}
}

// The way of docs/operate/nats.md.
func TestAPasswordIsRotatedWithoutAFailedPublish(t *testing.T) {
	t.Parallel()
	users := func(ingresses ...string) string {
		config := permissions.Config(func(string) string { return "pw" })
		before, rest, _ := strings.Cut(config, "{user: ingress,")
		_, after, _ := strings.Cut(rest, "\n")
		for _, user := range ingresses {
			before += fmt.Sprintf("{user: %s, password: $NATS_INGRESS_PASSWORD, permissions: $coinhook_ingress}\n", user)
		}
		return before + after
	}
	server := brokertest.StartConfigured(t, users("ingress"))
	urlOf := func(user string) string { return strings.Replace(server.URL(), "://", "://"+user+":pw@", 1) }
	admin, _ := dial(t, broker.Options{URL: urlOf("admin")})
	if err := admin.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	old, oldLog := dial(t, broker.Options{URL: urlOf("ingress"), Role: broker.Ingress})
	oldPublisher := startPublisher(t, old)
	publish(t, oldPublisher, "1")

	server.Reload(users("ingress", "ingress-2"))
	publish(t, oldPublisher, "2")
	next, _ := dial(t, broker.Options{URL: urlOf("ingress-2"), Role: broker.Ingress})
	wantConnected(t, next)
	publisher := startPublisher(t, next)
	publish(t, publisher, "3")
	if strings.Contains(oldLog.String(), "lost the connection") {
		t.Errorf("the old connection was cut:\n%s", oldLog)
	}

	server.Reload(users("ingress-2"))
	publish(t, publisher, "4")
	waitUntil(t, "the old user is refused", func() bool { return errors.Is(old.Objection(), broker.ErrRefused) })
	if err := oldPublisher.Publish(t.Context(), newDelivery(t, "5")); err == nil {
		t.Error("the old user still publishes")
	}
}
