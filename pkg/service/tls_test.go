package service

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/service/tlstest"
)

// secured serves with a certificate until the test ends.
func secured(t *testing.T, c *Certificate) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	done := make(chan error, 1)
	go func() { done <- ServeHTTP(ctx, server, c.Serve(server, listener), Stop{Drain: time.Second}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// serial is that of the certificate which a server shows.
func serial(t *testing.T, p tlstest.Pair, address string) int64 {
	t.Helper()
	resp, err := p.Client().Get("https://" + address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Strict-Transport-Security"); got != StrictTransport || resp.Proto != "HTTP/1.1" {
		t.Errorf("Strict-Transport-Security %q over %s", got, resp.Proto)
	}
	return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
}

func TestACertificateIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	dir := t.TempDir()
	first := tlstest.New(t, dir, 1)
	c, err := LoadCertificate(first.CertFile, first.KeyFile, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	address := secured(t, c)
	look := func() { // as if lookEvery had passed
		c.mu.Lock()
		defer c.mu.Unlock()
		c.looked = time.Time{}
	}
	if n := serial(t, first, address); n != 1 {
		t.Errorf("certificate %d is shown", n)
	}
	key, err := os.ReadFile(first.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	second := tlstest.New(t, dir, 2)
	newKey, err := os.ReadFile(second.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	// The certificate is there, its key not yet.
	if err := os.WriteFile(first.KeyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	if n := serial(t, first, address); n != 1 {
		t.Errorf("certificate %d is shown while its key is missing", n)
	}
	if !strings.Contains(log.String(), "cannot be read again") {
		t.Errorf("nothing is said of files that do not fit: %s", log.String())
	}
	if err := os.WriteFile(second.KeyFile, newKey, 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	if n := serial(t, second, address); n != 2 {
		t.Errorf("certificate %d is shown after the renewal", n)
	}
	if err := os.Remove(second.CertFile); err != nil {
		t.Fatal(err)
	}
	look()
	if n := serial(t, second, address); n != 2 {
		t.Errorf("certificate %d is shown without files", n)
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Error("the log holds a key")
	}
}

func TestOldTLSAndPlainHTTPAreRefused(t *testing.T) {
	t.Parallel()
	pair := tlstest.New(t, t.TempDir(), 1)
	c, err := LoadCertificate(pair.CertFile, pair.KeyFile, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	address := secured(t, c)
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { // it is refused
		conn.Close()
		t.Error("TLS 1.1 is taken")
	}
	resp, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered %s", resp.Status)
	}
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	pair := tlstest.New(t, t.TempDir(), 1)
	other := tlstest.New(t, t.TempDir(), 2)
	for name, tt := range map[string]struct{ cert, key, variable string }{
		"no key":          {pair.CertFile, "", "TLS_KEY"},
		"no certificate":  {"", pair.KeyFile, "TLS_CERT"},
		"no file":         {pair.CertFile + ".old", pair.KeyFile, "TLS_CERT"},
		"the key of else": {pair.CertFile, other.KeyFile, "TLS_KEY"},
		"no PEM":          {pair.KeyFile, pair.KeyFile, "TLS_CERT"},
	} {
		var setting *SettingError
		if _, err := LoadCertificate(tt.cert, tt.key, zerolog.Nop()); !errors.As(err, &setting) || !strings.Contains(err.Error(), tt.variable) {
			t.Errorf("%s: %v, want an error of %s", name, err, tt.variable)
		}
	}
	c, err := LoadCertificate("", "", zerolog.Nop())
	if c != nil || err != nil {
		t.Errorf("without files: %v, %v", c, err)
	}
	address := secured(t, c)
	resp, err := http.Get(c.Scheme() + "://" + address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("plain HTTP has Strict-Transport-Security %q", got)
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{"127.0.0.1:0": true, "127.0.0.2:0": true, "0.0.0.0:0": false, ":0": false} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		if got := IsLoopback(listener); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}
