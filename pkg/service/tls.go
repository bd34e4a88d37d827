package service

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// StrictTransport is the value of Strict-Transport-Security: a year, for this host.
const StrictTransport = "max-age=31536000"

// lookEvery is how often handshakes check whether the files of a certificate have
// changed.
const lookEvery = time.Second

// Certificate is what a server shows over TLS: that of two files, as they are now.
// A nil Certificate stands for plain HTTP.
type Certificate struct {
	certFile, keyFile string
	log               zerolog.Logger

	mu     sync.Mutex
	now    *tls.Certificate
	seen   [2]fileState
	looked time.Time
}

// fileState tells one content of a file from another.
type fileState struct {
	changed time.Time
	size    int64
}

// LoadCertificate reads the files that TLS_CERT and TLS_KEY name. It returns nil for
// none.
func LoadCertificate(certFile, keyFile string, log zerolog.Logger) (*Certificate, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case keyFile == "":
		return nil, &SettingError{Variable: "TLS_KEY", Want: "is not set; TLS_CERT needs the file of its private key, in PEM"}
	case certFile == "":
		return nil, &SettingError{Variable: "TLS_CERT", Want: "is not set; TLS_KEY needs the file of its certificate chain, in PEM"}
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := c.states()
	if err == nil {
		err = c.load(seen)
	}
	if err != nil {
		return nil, &SettingError{Variable: "TLS_CERT, TLS_KEY", Want: err.Error()}
	}
	return c, nil
}

func (c *Certificate) states() (states [2]fileState, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return states, err
		}
		states[i] = fileState{info.ModTime(), info.Size()}
	}
	return states, nil
}

// load reads both files. Their state was read before them, so that a change in
// between is seen next time.
func (c *Certificate) load(seen [2]fileState) error {
	c.seen = seen
	now, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.now = &now
	c.log.Info().Strs("names", now.Leaf.DNSNames).Time("until", now.Leaf.NotAfter).Msg("TLS certificate loaded")
	if time.Now().After(now.Leaf.NotAfter) {
		c.log.Warn().Time("until", now.Leaf.NotAfter).Msg("the TLS certificate has expired: renew the file that TLS_CERT names")
	}
	return nil
}

// current is asked by each handshake. Files that do not fit each other, as while they
// are replaced, leave the certificate as it is.
func (c *Certificate) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		seen, err := c.states()
		if err == nil && seen != c.seen {
			err = c.load(seen)
		}
		if err != nil {
			c.log.Warn().Err(err).Msg("TLS_CERT and TLS_KEY cannot be read again: the previous certificate stays in use")
		}
	}
	return c.now, nil
}

// Serve makes a server speak TLS on a listener, and tell browsers to use TLS
// only. Without a certificate nothing changes.
//
// HTTP/2 is not offered: its streams share one connection's deadlines, which bound
// slow bodies here.
func (c *Certificate) Serve(server *http.Server, listener net.Listener) net.Listener {
	if c == nil {
		return listener
	}
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", StrictTransport)
		next.ServeHTTP(w, r)
	})
	return tls.NewListener(listener, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: c.current,
	})
}

// Scheme is that of the URLs of a server with this certificate.
func (c *Certificate) Scheme() string {
	if c == nil {
		return "http"
	}
	return "https"
}

// IsLoopback reports whether a listener is open to this machine only.
func IsLoopback(listener net.Listener) bool {
	host, _, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
