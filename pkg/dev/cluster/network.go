package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/pkg/dev/stack/port"
)

const (
	natsPort     = 4222
	routesPort   = 6222
	postgresPort = 5432
	ingressPort  = 8080
	opsPort      = 9090
)

// network gives each part an address of its own, so that all parts of a kind
// have the same ports: a DATABASE_URL of several hosts has one port.
type network struct {
	prefix     string // of the addresses: the first three numbers
	namespaces bool
}

// newNetwork takes a free block of the loopback network, or makes the bridge.
func newNetwork(namespaces bool) (network, error) {
	if namespaces {
		n := network{prefix: "10.77.0.", namespaces: true}
		return n, n.bridge()
	}
	for range 100 {
		n := network{prefix: fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(256))}
		// A cluster that holds the block holds its first server's address.
		if port.IsFree(fmt.Sprintf("%s:%d", n.ip("nats-1"), natsPort)) {
			return n, nil
		}
	}
	return network{}, errors.New("no free block of the loopback network 127.0.0.0/8")
}

// cidr is the network of all parts.
func (n network) cidr() string { return n.prefix + "0/24" }

// ip is the address of a part.
func (n network) ip(name string) string {
	kind, number, _ := strings.Cut(name, "-")
	i, _ := strconv.Atoi(number) // names are ours
	return n.prefix + strconv.Itoa(map[string]int{"nats": 10, "pg": 20, "ingress": 30, "applier": 40}[kind]+i)
}

// path is that of a part's network namespace, if it has one.
func (n network) path(name string) string {
	if !n.namespaces {
		return ""
	}
	return "/run/netns/" + name
}
