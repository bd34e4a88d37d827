// Package proxies finds the address of a client behind proxies.
package proxies

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// Trusted are the networks whose X-Forwarded-For is trusted. Without any, a
// request's address is that of its connection.
type Trusted []netip.Prefix

// UnmarshalText reads networks or single addresses, separated by commas.
func (p *Trusted) UnmarshalText(text []byte) error {
	var list Trusted
	for item := range strings.SplitSeq(string(text), ",") {
		prefix, err := parsePrefix(strings.TrimSpace(item))
		if err != nil {
			return fmt.Errorf("want networks such as 10.0.0.0/8, separated by commas; %q is none", strings.TrimSpace(item))
		}
		list = append(list, prefix)
	}
	*p = list
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		prefix, err := netip.ParsePrefix(s)
		return prefix.Masked(), err
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Prefix(addr.BitLen())
}

// Contains reports whether an address is one of a trusted proxy.
func (p Trusted) Contains(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// Extractor must always be set explicitly, because echo's default trusts every
// sender.
func (p Trusted) Extractor() echo.IPExtractor {
	if len(p) == 0 {
		return echo.ExtractIPDirect()
	}
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range p {
		trust = append(trust, echo.TrustIPRange(&net.IPNet{
			IP:   prefix.Addr().AsSlice(),
			Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}
