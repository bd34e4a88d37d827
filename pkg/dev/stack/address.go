package devstack

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/port"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// releaseWithin is the time that processes of a stack that was just killed get
// to let go of their ports.
const releaseWithin = time.Second

// AddrTakenError says that a wanted address is in use.
type AddrTakenError struct {
	Part string
	Addr string
	Err  error
}

func (e *AddrTakenError) Error() string {
	return fmt.Sprintf("cannot use %s for the %s: %v", e.Addr, e.Part, e.Err)
}

func (e *AddrTakenError) Unwrap() error { return e.Err }

// chooseAddresses fixes every address for the life of the stack.
func (s *Stack) chooseAddresses(ctx context.Context) (err error) {
	if s.ingressAddr, err = s.address(ctx, Ingress, s.opts.IngressAddr); err != nil {
		return err
	}
	if s.opts.Console {
		if s.consoleAddr, err = s.address(ctx, Console, s.opts.ConsoleAddr); err != nil {
			return err
		}
	}
	if err := s.findPostgres(ctx); err != nil {
		return err
	}
	names := []string{NATS, Postgres, opsOf(Ingress)}
	if s.opts.Console {
		names = append(names, opsOf(Console))
	}
	for i := range s.opts.Appliers {
		names = append(names, opsOf(applierName(i)))
	}
	for _, name := range names {
		if _, err := s.address(ctx, name, "127.0.0.1:0"); err != nil {
			return err
		}
	}
	return s.writeState()
}

// address returns the address of a part: the wanted one, or, for port 0, the
// one of the last run if it is free, or a new one. It is remembered.
func (s *Stack) address(ctx context.Context, name, wanted string) (string, error) {
	host, p, err := net.SplitHostPort(wanted)
	if err != nil {
		return "", fmt.Errorf("address %q of the %s: want host:port, such as 127.0.0.1:0", wanted, name)
	}
	if n, err := strconv.ParseUint(p, 10, 16); err != nil {
		return "", fmt.Errorf("address %q of the %s: the port is not a number up to 65535", wanted, name)
	} else if n != 0 {
		if err := awaitFree(ctx, wanted); err != nil {
			return "", &AddrTakenError{Part: name, Addr: wanted, Err: err}
		}
		return wanted, nil
	}
	last := s.state.Addrs[name]
	if lastHost, _, err := net.SplitHostPort(last); err == nil && lastHost == host && !s.taken(name, last) && awaitFree(ctx, last) == nil {
		return last, nil
	}
	for {
		addr, err := port.Resolve(wanted)
		if err != nil {
			return "", fmt.Errorf("address of the %s: %w", name, err)
		}
		if !s.taken(name, addr) {
			s.state.Addrs[name] = addr
			return addr, nil
		}
	}
}

// taken reports whether another part was given the port: nobody listens on it
// yet.
func (s *Stack) taken(name, addr string) bool {
	_, wanted, _ := net.SplitHostPort(addr)
	for other, given := range s.state.Addrs {
		if _, p, _ := net.SplitHostPort(given); other != name && p == wanted {
			return true
		}
	}
	_, p, err := net.SplitHostPort(s.ingressAddr)
	return err == nil && name != Ingress && p == wanted
}

func awaitFree(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	return process.Await(ctx, func(context.Context) error { return port.Check(addr) })
}

func opsOf(name string) string { return name + "/ops" }

func applierName(i int) string { return "applier-" + strconv.Itoa(i+1) }

// httpURL is how a program on this machine reaches a server that listens on
// addr.
func httpURL(addr string) string {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, p)
}
