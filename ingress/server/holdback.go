package server

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/ingress"
)

// The paces of refused requests: of one address, and of all. Requests that are accepted
// are never counted, so nobody can slow a sender down, not even from its own address.
var (
	refusedPace    = pace{burst: 100, interval: 250 * time.Millisecond}
	allRefusedPace = pace{burst: 500, interval: 5 * time.Millisecond}
)

// The bounds of the answers that wait, in all and of one address. Behind a proxy each is
// a connection of the proxy's. With HTTP/2 a single connection may have hundreds.
const (
	maxHeldBack     = 1024
	maxHeldBackEach = 256
)

// An answer waits up to so many times longer, by chance. Strangers who come together and
// come again once they are answered would all come in the same moment otherwise.
const heldBackLonger = 3

// holdBack has refused requests wait for their answers where too many come. A flood makes
// as many requests as it has connections, once or twice a second, instead of as many as
// the cores can refuse. A request that waits has no place and no body any more.
//
// A sender that closes the connection does not end the wait: it would come again at once,
// while the connection counts as open until then.
type holdBack struct {
	refusals *failures
	lasts    time.Duration

	mu      sync.Mutex
	all     int
	waiting map[netip.Addr]int
}

func newHoldBack(lasts time.Duration) *holdBack {
	return &holdBack{refusals: newFailures(), lasts: lasts, waiting: map[netip.Addr]int{}}
}

// wait returns when a refusal may be answered. It reports whether the connection may stay:
// beyond the bounds nobody waits, so that a flood has to connect for each request.
func (h *holdBack) wait(network netip.Addr) (stays bool) {
	if !h.refusals.tooMany(network, time.Now()) {
		return true
	}
	if !h.enter(network) {
		return false
	}
	time.Sleep(h.lasts + rand.N(heldBackLonger*h.lasts))
	h.leave(network)
	return true
}

func (h *holdBack) enter(network netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all >= maxHeldBack || h.waiting[network] >= maxHeldBackEach {
		return false
	}
	h.all++
	h.waiting[network]++
	return true
}

func (h *holdBack) leave(network netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all--
	if h.waiting[network]--; h.waiting[network] == 0 {
		delete(h.waiting, network)
	}
}

func (h *holdBack) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all
}

// tooMany counts a refusal, and reports whether its address or all are refused too often.
func (f *failures) tooMany(network netip.Addr, at time.Time) bool {
	now := at.Sub(f.since)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.full) >= maxFailing-1 {
		f.forget(now)
	}
	ofAddress, ofAll := f.spend(failing{network: network}, refusedPace, now), f.spend(failing{}, allRefusedPace, now)
	return ofAddress > 0 || ofAll > 0
}

// refuse waits if need be and answers with an error.
func (s *Server) refuse(c echo.Context, answer *ingress.Error) {
	if status := problems[answer.Code].status; status >= 400 && status < 500 && !s.holdBack.wait(s.networkOf(c)) {
		c.Response().Header().Set("Connection", "close")
	}
	writeProblem(c, answer)
}

// networkOf returns what the address of a request counts as.
func (s *Server) networkOf(c echo.Context) netip.Addr {
	address, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return netip.Addr{} // all whose address cannot be read are one
	}
	return network(address)
}
