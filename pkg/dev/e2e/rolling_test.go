package e2e

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// proxy is a real HAProxy with the configuration of the operators' page.
type proxy struct {
	*program
	socket string
}

var (
	proxyConfig = regexp.MustCompile("(?s)```haproxy\n(.*?)```")
	proxyBind   = regexp.MustCompile(`bind :8080`)
	proxyStats  = regexp.MustCompile(`stats socket \S+`)
	proxyServer = regexp.MustCompile(`(?m)^ +server (ingress|any)-(\d) \S+ (port 9090|no-check backup)$`)
)

// startProxy starts HAProxy in front of ingresses, which are named ingress-1 and on.
func (s *stack) startProxy(t *testing.T, ingresses []*program) *proxy {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repository, "docs", "operate", "rolling-updates.md"))
	if err != nil {
		t.Fatal(err)
	}
	config := proxyConfig.FindSubmatch(page)
	if config == nil || len(proxyServer.FindAll(config[1], -1)) != 2*len(ingresses) {
		t.Fatalf("the page has no configuration for %d ingresses", len(ingresses))
	}
	p := &proxy{program: &program{addr: freeAddr(t)}, socket: filepath.Join(s.Dir(), "haproxy.sock")}
	text := proxyBind.ReplaceAllString(string(config[1]), "bind "+p.addr)
	text = proxyStats.ReplaceAllString(text, "stats socket "+p.socket)
	text = proxyServer.ReplaceAllStringFunc(text, func(line string) string {
		found := proxyServer.FindStringSubmatch(line)
		i := ingresses[found[2][0]-'1']
		_, ops, _ := strings.Cut(i.ops, ":")
		return fmt.Sprintf("    server %s-%s %s %s", found[1], found[2], i.addr, strings.Replace(found[3], "9090", ops, 1))
	})
	file := filepath.Join(s.Dir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.spec = process.Spec{
		Name: "haproxy", Path: findProxy(t), Args: []string{"-db", "-f", file},
		Env: os.Environ(), LogFile: filepath.Join(s.Dir(), "logs", "haproxy.log"),
	}
	p.start(t)
	for _, i := range ingresses {
		p.awaitUp(t, i)
	}
	return p
}

func findProxy(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("NOT TESTED behind a proxy: HAProxy is not installed (apt-get install haproxy)")
	return ""
}

// awaitUp waits until the proxy sends requests to an ingress.
func (p *proxy) awaitUp(t *testing.T, ingress *program) {
	t.Helper()
	p.awaitStatus(t, ingress, "UP")
}

func (p *proxy) awaitStatus(t *testing.T, ingress *program, want string) {
	t.Helper()
	eventually(t, func(context.Context) error {
		stats, err := p.stats(ingress.spec.Name)
		if err == nil && stats["status"] != want {
			err = fmt.Errorf("for the proxy %s is %s, want %s", ingress.spec.Name, stats["status"], want)
		}
		return err
	})
}

// stats are what the proxy knows of a server.
func (p *proxy) stats(server string) (map[string]string, error) {
	conn, err := net.DialTimeout("unix", p.socket, 2*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("show stat\n")); err != nil {
		return nil, err
	}
	rows := csv.NewReader(conn)
	rows.FieldsPerRecord = -1
	all, err := rows.ReadAll()
	if err != nil || len(all) == 0 {
		return nil, errors.Join(errors.New("the proxy shows nothing"), err)
	}
	for _, row := range all[1:] {
		stats := map[string]string{}
		for column, name := range all[0][:min(len(all[0]), len(row))] {
			stats[name] = row[column]
		}
		if stats["svname"] == server {
			return stats, nil
		}
	}
	return nil, fmt.Errorf("the proxy knows no %s", server)
}

// wantNoRetries sees that the proxy knew in time: it never sent a request to an
// ingress that does not listen. One that it sends again would hide that.
func (p *proxy) wantNoRetries(t *testing.T, ingress *program) {
	t.Helper()
	stats, err := p.stats(ingress.spec.Name)
	if err != nil {
		t.Fatal(err)
	}
	for column, what := range map[string]string{
		"econ": "connections that failed", "eresp": "answers that failed",
		"wretr": "retries", "wredis": "requests that went to another", "hrsp_5xx": "answers of 500 and above",
	} {
		if stats[column] != "0" {
			t.Errorf("the proxy counts %q %s of %s, want 0", stats[column], what, ingress.spec.Name)
		}
	}
}

// newProxiedStack is a stack with two ingresses more, which have a proxy before them.
func newProxiedStack(t *testing.T) (s *stack, ingresses []*program, p *proxy) {
	t.Helper()
	findProxy(t)
	s = newStack(t)
	for _, name := range []string{"ingress-1", "ingress-2"} {
		i := s.service(t, binDir, "ingress", name, "SHUTDOWN_DELAY=5s", "PUBLISH_TIMEOUT=9s", "TRUSTED_PROXIES=127.0.0.1/32")
		i.startReady(t)
		ingresses = append(ingresses, i)
	}
	return s, ingresses, s.startProxy(t, ingresses)
}

// COINHOOK_E2E_ROLLING says how often each service is restarted.
func TestARollingUpdateFailsNoRequest(t *testing.T) {
	t.Parallel()
	s, ingresses, p := newProxiedStack(t)
	l := newLoad(t, s, 0, 100)
	rounds := setting(t, "COINHOOK_E2E_ROLLING", 1)
	failed := l.steadily(t, func(int) string { return "http://" + p.addr }, setting(t, "COINHOOK_E2E_RATE", 500), func() {
		for range rounds {
			for _, i := range ingresses {
				i.stop(t)
				i.startReady(t)
				p.awaitUp(t, i)
			}
			for _, name := range s.appliers() {
				s.stopParts(t, name)
				s.startParts(t, name)
			}
		}
	})
	if len(failed) > 0 {
		t.Errorf("%d requests failed, want none; the first: %s", len(failed), strings.Join(failed[:min(len(failed), 10)], "\n"))
	}
	for _, i := range ingresses {
		p.wantNoRetries(t, i)
	}
	l.check(t)
}

// While the broker is away no ingress is ready. They still get the requests, which
// wait for it.
func TestAProxyFailsNoRequestInAShortOutageOfTheBroker(t *testing.T) {
	t.Parallel()
	s, ingresses, p := newProxiedStack(t)
	l := newLoad(t, s, 0, 100)
	failed := l.steadily(t, func(int) string { return "http://" + p.addr }, 100, func() {
		if err := s.Pause(devstack.NATS); err != nil {
			t.Fatal(err)
		}
		for _, i := range ingresses {
			p.awaitStatus(t, i, "DOWN")
		}
		if err := s.Resume(devstack.NATS); err != nil {
			t.Fatal(err)
		}
		for _, i := range ingresses {
			p.awaitUp(t, i)
		}
	})
	if len(failed) > 0 {
		t.Errorf("%d requests failed, want none; the first: %s", len(failed), failed[0])
	}
	l.check(t)
}
