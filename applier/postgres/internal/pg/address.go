package pg

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/lib/pq"
)

// errAddress says what a URL looks like. The driver's own text may repeat the URL,
// and so a password.
var errAddress = errors.New("want the URL of a PostgreSQL database, such as postgres://user:password@host/coinhook, " +
	"or with several servers postgres://user:password@host1:5432,host2:5432/coinhook")

// ParseAddress reads a URL in each form that libpq documents.
func ParseAddress(address string) (pq.Config, error) {
	address, err := hostsAsParameters(address)
	if err != nil || address == "" {
		return pq.Config{}, errAddress
	}
	cfg, err := pq.NewConfig(address)
	if err != nil {
		return pq.Config{}, errAddress
	}
	for _, one := range EachHost(cfg) {
		if !isHost(one.Host) {
			return pq.Config{}, errAddress
		}
	}
	return cfg, nil
}

// SameDatabase reports whether two URLs name databases of one name. Their hosts may
// differ, as where one goes through a pooler.
func SameDatabase(a, b string) bool {
	first, err := ParseAddress(a)
	if err != nil {
		return false
	}
	second, err := ParseAddress(b)
	return err == nil && first.Database == second.Database
}

// isHost refuses what holds a port, which the driver would look up as a name.
func isHost(host string) bool {
	if !strings.Contains(host, ":") || filepath.IsAbs(host) || strings.HasPrefix(host, "@") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// hostsAsParameters moves the hosts of a URL with several of them, or with the path
// of a socket, to parameters: the driver knows no other form. It returns other
// addresses as they are.
func hostsAsParameters(address string) (string, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || scheme != "postgres" && scheme != "postgresql" {
		return address, nil
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	i := strings.LastIndexByte(authority, '@') + 1
	user, hosts := authority[:i], authority[i:]
	if !strings.ContainsAny(hosts, ",%") {
		return address, nil
	}
	var names, ports []string
	for host := range strings.SplitSeq(hosts, ",") {
		name, port, err := splitHost(host)
		if err != nil {
			return "", err
		}
		names, ports = append(names, name), append(ports, port)
	}
	u, err := url.Parse(scheme + "://" + user + path)
	if err != nil {
		return "", err
	}
	query := u.Query()
	if query.Has("host") || query.Has("port") {
		return "", errors.New("hosts stand in two places")
	}
	query.Set("host", strings.Join(names, ","))
	query.Set("port", strings.Join(ports, ","))
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// splitHost reads host, host:port, or an IPv6 address in brackets.
func splitHost(text string) (host, port string, err error) {
	host, port = text, "5432"
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", "", err
		}
	}
	host, err = url.PathUnescape(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err == nil && (host == "" || port == "" || strings.Contains(host, ",")) {
		err = errors.New("a host or port is empty")
	}
	return host, port, err
}

// EachHost returns the configuration of each server.
func EachHost(cfg pq.Config) []pq.Config {
	first := cfg.Clone()
	first.Multi = nil
	all := []pq.Config{first}
	for _, m := range cfg.Multi {
		one := first.Clone()
		one.Host, one.Hostaddr, one.Port = m.Host, m.Hostaddr, m.Port
		all = append(all, one)
	}
	return all
}
