package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/service/tlstest"
)

// TestIngressAndConsoleServeTLS: both take files, and a renewed certificate without a
// restart.
func TestIngressAndConsoleServeTLS(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	dir := t.TempDir()
	pair := tlstest.New(t, dir, 1)
	files := []string{"TLS_CERT=" + pair.CertFile, "TLS_KEY=" + pair.KeyFile}

	i := w.service(t, binDir, "ingress", "ingress-tls", files...)
	i.startReady(t)
	send := func() {
		t.Helper()
		req, err := http.NewRequestWithContext(withDeadline(t), http.MethodPost, "https://"+i.addr+"/hooks/"+h.ID, strings.NewReader(coinsBody("ann", "5")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", h.APIKey)
		resp, err := pair.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted || resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("the ingress answers %s, %v", resp.Status, resp.Header)
		}
	}
	send()

	c := w.service(t, binDir, "coinhook", "console-tls", append(files, "CONSOLE_URL=")...)
	c.spec.Args, c.spec.Env = []string{"console"}, append(c.spec.Env, "CONSOLE_ADDR="+c.addr, "DATABASE_URL="+w.DatabaseURLOf("console"))
	c.start(t)
	eventually(t, func(context.Context) error {
		resp, err := pair.Client().Get("https://" + c.addr + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz is %s", resp.Status)
		}
		return nil
	})
	resp, err := pair.Client().PostForm("https://"+c.addr+"/sign-in", url.Values{"name": {w.Env()["CONSOLE_USER"]}, "password": {w.Env()["CONSOLE_PASSWORD"]}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Strict-Transport-Security") == "" || len(resp.Cookies()) != 1 {
		t.Fatalf("the console answers a sign-in %s, %v", resp.Status, resp.Header)
	}
	if cookie := resp.Cookies()[0]; !cookie.Secure || !cookie.HttpOnly || !strings.HasPrefix(cookie.Name, "__Host-") {
		t.Errorf("the session's cookie is %s", cookie.Name)
	}

	pair = tlstest.New(t, dir, 2)
	for name, address := range map[string]string{"ingress": i.addr, "console": c.addr} {
		eventually(t, func(context.Context) error {
			conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // any certificate tells
			if err != nil {
				return err
			}
			defer conn.Close()
			if n := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); n != 2 {
				return fmt.Errorf("the %s shows certificate %d after the renewal", name, n)
			}
			return nil
		})
	}
	send()
	c.stop(t)
	i.stop(t)
}
