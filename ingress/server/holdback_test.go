package server

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefusalsAreHeldBackByAddressAndInAll(t *testing.T) {
	t.Parallel()
	one, two := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	f := newFailures()
	now := f.since
	for i := range refusedPace.burst {
		if f.tooMany(one, now) {
			t.Fatalf("refusal %d is held back", i)
		}
	}
	if !f.tooMany(one, now) {
		t.Error("the burst of an address has no end")
	}
	if f.tooMany(two, now) {
		t.Error("another address is held back")
	}
	if now = now.Add(refusedPace.interval); f.tooMany(one, now) || !f.tooMany(one, now) {
		t.Error("an interval brings another number of refusals than one")
	}

	// A flood from many addresses: none of them is refused often.
	now = now.Add(time.Hour)
	free, addr := int64(0), netip.MustParseAddr("10.0.0.0")
	for range 10 * allRefusedPace.burst {
		if addr = addr.Next(); !f.tooMany(addr, now) {
			free++
		}
	}
	if free != allRefusedPace.burst {
		t.Errorf("%d refusals of many addresses are not held back, want %d", free, allRefusedPace.burst)
	}
}

// A flood waits for its answers, without places and without memory of its bodies. Right
// requests pass meanwhile, also from its address.
func TestAFloodWaitsAndSendersPass(t *testing.T) {
	t.Parallel()
	const flood = 8
	for name, request := range map[string]func(s *running) answer{
		"wrong keys":       func(s *running) answer { return s.post("x", "X-Api-Key", "wrong") },
		"unknown webhooks": func(s *running) answer { return s.do("POST", "/hooks/"+unknown, strings.NewReader("x")) },
		"wrong signatures": func(s *running) answer {
			return s.do("POST", "/hooks/"+signed, strings.NewReader("x"), "X-Hub-Signature-256", signatureOf("x", "wrong"))
		},
		"no bodies": func(s *running) answer { return s.post("") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, key := startReal(t, Options{Timeouts: Timeouts{HoldBack: time.Second}})
			stop := make(chan struct{})
			var flooding sync.WaitGroup
			for range flood {
				flooding.Go(func() {
					for !isClosed(stop) {
						if got := request(s); got.status < 400 || got.status >= 500 {
							t.Errorf("status %d: %s", got.status, got.body)
							return
						}
					}
				})
			}
			s.eventually("the flood is not held back, or has places", func() bool {
				taken := &s.places.taken
				return s.holdBack.count() == flood && taken.requests() == 0 && taken.bytes() == 0
			})
			if got := s.post("x", "X-Api-Key", key); got.status != http.StatusAccepted {
				t.Errorf("the right key: status %d: %s", got.status, got.body)
			}
			close(stop)
			flooding.Wait()
			s.eventually("waiting requests are left", func() bool { return s.holdBack.count() == 0 })
		})
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Strangers who come together are answered one after the other: answers in one moment
// would have all of them come again together.
func TestAnswersThatWaitAreSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHoldBack(250 * time.Millisecond)
		addr := netip.MustParseAddr("203.0.113.1")
		for range refusedPace.burst {
			h.wait(addr)
		}
		start := time.Now()
		var early, late atomic.Int64
		var all sync.WaitGroup
		for range maxHeldBackEach {
			all.Go(func() {
				h.wait(addr)
				switch waited := time.Since(start); {
				case waited < 250*time.Millisecond || waited > time.Second:
					t.Errorf("waited %v, want 250 ms to 1 s", waited)
				case waited < 500*time.Millisecond:
					early.Add(1)
				case waited > 750*time.Millisecond:
					late.Add(1)
				}
			})
		}
		all.Wait()
		if early.Load() < 32 || late.Load() < 32 {
			t.Errorf("of %d, %d wait for less than 500 ms and %d for more than 750 ms", maxHeldBackEach, early.Load(), late.Load())
		}
	})
}

// No more than so many answers wait, in all and of one address: each may be a connection
// of a proxy. The others lose their connections.
func TestOnlySoManyAnswersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHoldBack(time.Minute)
		const addresses, each = 8, 2 * maxHeldBackEach
		var closed, stayed atomic.Int64
		addr := netip.MustParseAddr("203.0.113.1")
		var all sync.WaitGroup
		come := func() {
			for range each {
				all.Go(func() {
					if h.wait(addr) {
						stayed.Add(1)
					} else {
						closed.Add(1)
					}
				})
			}
			synctest.Wait()
		}
		come()
		if n := h.count(); n != maxHeldBackEach {
			t.Errorf("%d of one address wait, want %d", n, maxHeldBackEach)
		}
		if want := each - maxHeldBackEach - refusedPace.burst; closed.Load() != want || stayed.Load() != refusedPace.burst {
			t.Errorf("%d are closed and %d stayed, want %d and %d", closed.Load(), stayed.Load(), want, refusedPace.burst)
		}
		for range addresses {
			addr = addr.Next()
			come()
		}
		if n := h.count(); n != maxHeldBack {
			t.Errorf("%d wait in all, want %d", n, maxHeldBack)
		}
		all.Wait()
		if h.count() != 0 || len(h.waiting) != 0 {
			t.Errorf("%d wait in the end, of %d addresses", h.count(), len(h.waiting))
		}
	})
}

// A flood beyond the bounds has to connect for each request.
func TestAFloodThatMayNotWaitLosesItsConnections(t *testing.T) {
	t.Parallel()
	s, key := startReal(t, Options{})
	s.holdBack.mu.Lock()
	s.holdBack.all = maxHeldBack
	s.holdBack.mu.Unlock()
	here := netip.MustParseAddr("127.0.0.1")
	refused := func() answer {
		for range 2 * refusedPace.burst { // the address may be refused again in a moment
			s.holdBack.refusals.tooMany(here, time.Now())
		}
		return s.do("POST", "/hooks/"+unknown, strings.NewReader("x"))
	}
	for deadline := time.Now().Add(30 * time.Second); !refused().close; {
		if time.Now().After(deadline) {
			t.Fatal("the connection stays")
		}
	}
	if got := s.post("x", "X-Api-Key", key); got.status != http.StatusAccepted || got.close {
		t.Errorf("the right key: %+v", got)
	}
}
