package proxies

import "net/netip"

// Network returns what counts as one client: an address of IPv4, or the /64 of an
// address of IPv6, because the owner of one of its addresses has all of them. A text
// that is not an address is returned unchanged.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
