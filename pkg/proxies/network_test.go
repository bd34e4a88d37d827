package proxies_test

import (
	"testing"

	"github.com/coinhook/coinhook/pkg/proxies"
)

func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1":           "192.0.2.1",
		"::ffff:192.0.2.1":    "192.0.2.1",
		"2001:db8:0:1:2::3":   "2001:db8:0:1::/64",
		"2001:db8:0:1:ffff::": "2001:db8:0:1::/64",
		"fe80::1%eth0":        "fe80::/64",
		"":                    "",
		"@":                   "@",
	} {
		if got := proxies.Network(address); got != want {
			t.Errorf("the network of %q is %q, want %q", address, got, want)
		}
	}
}
