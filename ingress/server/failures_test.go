package server

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	one, two := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	f := newFailures()
	now := f.since
	for i := range webhookPace.burst {
		if wait := f.note(one, hook, now); wait != 0 {
			t.Fatalf("failure %d has to wait %s", i, wait)
		}
	}
	if wait := f.note(one, hook, now); wait != webhookPace.interval {
		t.Errorf("after the burst: %s, want %s", wait, webhookPace.interval)
	}
	if wait := f.note(two, hook, now); wait != 0 {
		t.Errorf("another address has to wait %s", wait)
	}
	if wait := f.note(one, keyless, now); wait != 0 {
		t.Errorf("at another webhook it has to wait %s", wait)
	}
	now = now.Add(webhookPace.interval)
	if wait := f.note(one, hook, now); wait != 0 {
		t.Errorf("an interval later: %s", wait)
	}
	if wait := f.note(one, hook, now); wait == 0 {
		t.Error("an interval brought more than one failure")
	}
	now = now.Add(time.Hour)
	failed := 0
	for i := range 10 * addressPace.burst { // webhooks by turns
		if f.note(one, fmt.Sprint("wh_", i), now) == 0 {
			failed++
		}
	}
	if failed != int(addressPace.burst) {
		t.Errorf("%d failures of an address at many webhooks, want %d", failed, addressPace.burst)
	}
}

func TestTheMemoryOfFailuresIsBounded(t *testing.T) {
	t.Parallel()
	f := newFailures()
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range 2 * maxFailing {
		addr = addr.Next()
		if f.note(addr, hook, f.since.Add(time.Duration(i)*time.Microsecond)); len(f.full) > maxFailing {
			t.Fatalf("%d are remembered, want %d at most", len(f.full), maxFailing)
		}
	}
	if f.note(addr, hook, f.since.Add(time.Hour)); len(f.full) == 0 {
		t.Error("none is remembered")
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	log := zerolog.New(&buf)
	var counted tally
	now := time.Now()
	for i := range 100 {
		if line := counted.log(&log, now.Add(time.Duration(i)*tallyEvery/50)); line != nil {
			line.Send()
		}
	}
	want := `{"level":"warn","count":1}` + "\n" + `{"level":"warn","count":50}` + "\n"
	if got := buf.String(); got != want {
		t.Errorf("logged %s, want %s", strings.TrimSpace(got), want)
	}
}
