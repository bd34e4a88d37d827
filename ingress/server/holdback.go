package server

import (
	"net/netip"
	"sync/atomic"
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

// maxHeldBack bounds the answers that wait. Behind a proxy each is a connection of the
// proxy's.
const maxHeldBack = 1024

// holdBack has refused requests wait for their answers where too many come. A flood makes
// as many requests as it has connections, four times a second, instead of as many as the
// cores can refuse. A request that waits has no place and no body any more.
//
// A sender that closes the connection does not end the wait: it would come again at once,
// while the connection counts as open until then.
type holdBack struct {
	refusals *failures
	lasts    time.Duration
	waiting  atomic.Int64
}

func newHoldBack(lasts time.Duration) *holdBack {
	return &holdBack{refusals: newFailures(), lasts: lasts}
}

// wait returns when a refusal may be answered.
func (h *holdBack) wait(network netip.Addr) {
	if !h.refusals.tooMany(network, time.Now()) {
		return
	}
	if h.waiting.Add(1) <= maxHeldBack {
		time.Sleep(h.lasts)
	}
	h.waiting.Add(-1)
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
	if status := problems[answer.Code].status; status >= 400 && status < 500 {
		s.holdBack.wait(s.networkOf(c))
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
