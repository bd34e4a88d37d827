package server

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestShares(t *testing.T) {
	t.Parallel()
	const each = 1 << 10
	opts := Options{MaxInFlight: 1000, MaxInFlightBytes: 1000 * each, MaxBodyBytes: each, SharePercent: 25}
	type sender struct {
		webhook string
		address int
		proven  bool
	}
	by := func(webhook string, address int, proven bool) func(int) sender {
		return func(int) sender { return sender{webhook, address, proven} }
	}
	for _, tt := range []struct {
		name   string
		before []func(int) sender // each takes all that it gets
		sender func(int) sender
		want   int
		err    error
	}{
		{name: "one busy sender with a key has half", sender: by("a", 1, true), want: 500, err: errAddressShare},
		{name: "a sender without has a share", sender: by("a", 1, false), want: 250, err: errAddressShare},
		{name: "so have many of one webhook", sender: func(i int) sender { return sender{"a", i, false} }, want: 250, err: errWebhookShare},
		{
			name: "once half is taken, others have their shares", before: []func(int) sender{by("a", 1, true)},
			sender: by("b", 2, true), want: 250, err: errAddressShare,
		},
		{
			name: "all is the bound of all", before: []func(int) sender{by("a", 1, true), by("b", 2, true), by("c", 3, true)},
			sender: by("d", 4, true), want: 0, err: errOverloaded,
		},
	} {
		for kind, size := range map[string]int64{"requests": 0, "bytes": each} {
			t.Run(tt.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				opts := opts
				if kind == "bytes" {
					opts.MaxInFlight = 1 << 20
				}
				p, addresses := newPlaces(opts), map[int]*usage{}
				fill := func(sender func(int) sender) (int, error) {
					for i := 0; ; i++ {
						by := sender(i)
						if addresses[by.address] == nil {
							addresses[by.address] = new(usage)
						}
						h := hold{places: p, webhook: p.webhook(by.webhook), client: addresses[by.address], proven: by.proven}
						if err := h.take(1, size); err != nil {
							return i, err
						}
					}
				}
				for _, sender := range tt.before {
					fill(sender) // until there is no more
				}
				if n, err := fill(tt.sender); n != tt.want || !errors.Is(err, tt.err) {
					t.Errorf("%d, then %v; want %d, then %v", n, err, tt.want, tt.err)
				}
			})
		}
	}
}

// TestSmallLimitsAreNotShared: a share of a few places would be none.
func TestSmallLimitsAreNotShared(t *testing.T) {
	t.Parallel()
	p := newPlaces(Options{MaxInFlight: 50, MaxInFlightBytes: 600, MaxBodyBytes: 500, SharePercent: 25})
	if p.share != (most{50, 500}) {
		t.Errorf("the share is %+v", p.share)
	}
}

// TestPlacesAreGivenBack: whatever is taken and refused, nothing is left of it.
func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	clients := [3]usage{}
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 0))
		p := newPlaces(Options{MaxInFlight: 100, MaxInFlightBytes: 4000, MaxBodyBytes: 100, SharePercent: 25})
		var holds []*hold
		for range random.IntN(300) {
			switch old := random.IntN(4); {
			case old == 0 && len(holds) > 0:
				holds[random.IntN(len(holds))].release()
			case old == 1 && len(holds) > 0:
				h := holds[random.IntN(len(holds))]
				h.take(0, random.Int64N(100)) // either way
			default:
				h := &hold{
					places: p, webhook: p.webhook([]string{"a", "b"}[random.IntN(2)]),
					client: &clients[random.IntN(3)], proven: random.IntN(2) == 0,
				}
				if h.take(1, random.Int64N(100)) == nil {
					holds = append(holds, h)
				}
			}
			if n, size := p.taken.requests(), p.taken.bytes(); n > 100 || size > 4000 {
				t.Fatalf("seed %d: %d requests and %d bytes are taken", seed, n, size)
			}
		}
		for _, h := range holds {
			h.release()
		}
		left := p.taken.v.Load() | p.webhook("a").v.Load() | p.webhook("b").v.Load()
		for i := range clients {
			left |= clients[i].v.Load()
		}
		if left != 0 {
			t.Fatalf("seed %d: something is left", seed)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"203.0.113.7":            "203.0.113.7",
		"::ffff:203.0.113.7":     "203.0.113.7",
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1:2::",
		"2001:db8:1:2:ffff::1":   "2001:db8:1:2::",
		"fe80::1%eth0":           "fe80::",
		"2001:db8:1:3::":         "2001:db8:1:3::",
		"::ffff:127.0.0.1%lo":    "127.0.0.1",
		"64:ff9b::203.0.113.7":   "64:ff9b::",
		"2002:cb00:7107:1::beef": "2002:cb00:7107:1::",
	} {
		if got := network(netip.MustParseAddr(text)).String(); got != want {
			t.Errorf("%s is of %s, want %s", text, got, want)
		}
	}
	if got := network(netip.Addr{}); got.IsValid() {
		t.Errorf("no address is of %s", got)
	}
}
