package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// pace is how fast strangers and the senders with a key next to them are.
type pace struct {
	connections int           // of strangers
	goodRate    int           // of the senders with a key, a second
	turn        time.Duration // how many times as long a turn lasts as others
}

// A turn is longer than others: the first hundreds are refused at once, and only those
// that follow wait; and the p99 of 4,000 requests is one moment of 40 ms.
var (
	// dribbling connections send a byte a second of a body that never ends. They begin within
	// a second, each at another moment: strangers know nothing of each other.
	dribbling = pace{connections: 600, goodRate: 1000, turn: 3}
	// forging ones send whole requests with wrong signatures, as fast as they are answered.
	// Fewer keep the ingress busier.
	forging = pace{connections: 64, goodRate: 2000, turn: 5}
)

// flood is one way of strangers to hold places.
type flood struct {
	pace
	name string
	// many: each comes from an address of its own.
	many bool
	// head is a request, or the start of one that dribbles, with its first byte.
	head string
	// piece is what comes each second, a chunk of one byte where it is empty.
	piece string
}

// oneByte is a chunk.
const oneByte = "1\r\nx\r\n"

const chunked = "Transfer-Encoding: chunked\r\n\r\n" + oneByte

// floods are all there are, at a webhook with a key, one without, and one whose requests
// are signed.
func floods(host string, keyed, keyless, signed webhook) []flood {
	to := func(id, rest string) string { return "POST /hooks/" + id + " HTTP/1.1\r\nHost: h\r\n" + rest }
	absent := to("wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", chunked)
	// A signature cannot be checked before the body is there.
	unchecked := to(signed.ID, "X-Hub-Signature-256: sha256="+strings.Repeat("00", 32)+"\r\n"+chunked)
	forged := forgedRequest(host, signed)
	return []flood{
		{pace: dribbling, name: "one address, no such webhook", head: absent},
		{pace: dribbling, name: "many, no such webhook", many: true, head: absent},
		{pace: dribbling, name: "one address, no key", head: to(keyed.ID, chunked)},
		{pace: dribbling, name: "many, no key", many: true, head: to(keyed.ID, "Content-Length: 524288\r\n\r\nx")},
		{pace: dribbling, name: "one address, keyless webhook", head: to(keyless.ID, chunked)},
		{pace: dribbling, name: "many, keyless webhook", many: true, head: to(keyless.ID, chunked)},
		{pace: dribbling, name: "one address, webhook with signatures", head: unchecked},
		{pace: dribbling, name: "many, webhook with signatures", many: true, head: unchecked},
		{pace: dribbling, name: "many, the same webhook's key", many: true, head: to(keyed.ID, "X-Api-Key: "+keyed.APIKey+"\r\n"+chunked)},
		{pace: dribbling, name: "many, headers that do not end", many: true, head: to(keyed.ID, "X-Slow: "), piece: "x"},
		{pace: forging, name: "one address, wrong signatures", head: forged},
		{pace: forging, name: "many, wrong signatures", many: true, head: forged},
	}
}

// slug is the name in figures.
func (f flood) slug() string {
	return strings.NewReplacer(", ", "_", " ", "_", "'", "").Replace(f.name)
}

// strangers measures senders with a key alone and next to each flood.
func (b *bench) strangers(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Strangers: senders with a key at %d/s, alone and next to %d connections that dribble, %s a turn", dribbling.goodRate, dribbling.connections, dribbling.turn*b.size.measure),
		Notes: []string{
			"202 p99 in ms, of the senders with a key. refused: their requests that got another answer, of all in these turns.",
			"knocks/s: connections that strangers opened, or requests with a wrong signature. One that is closed comes again at once.",
			fmt.Sprintf("Wrong signatures come on %d connections, next to %d/s of the senders with a key, %s a turn.", forging.connections, forging.goodRate, forging.turn*b.size.measure),
			"many: each stranger has an address of its own, 127.1.x.y. In every other round the strangers come first.",
		},
		header: []string{"strangers", "knocks/s", "alone p99", "next to them", "ratio", "refused", "of"},
	}
	good, err := b.newSide(ctx, "good", 1)
	if err != nil {
		return s, err
	}
	keyless, err := b.apply(ctx, nil, strings.NewReplacer("Bench", "Keyless", "\n  api_key: true", " {}").Replace(fmt.Sprintf(definition, good.communities[0])))
	if err != nil {
		return s, err
	}
	signed, err := b.signedWorld(ctx, "forged")
	if err != nil {
		return s, err
	}
	for _, f := range floods(b.host, good.webhooks[0], keyless, signed.webhooks[0]) {
		if err := b.nextToStrangers(ctx, &s, good, f); err != nil {
			return s, fmt.Errorf("next to %s: %w", f.name, err)
		}
	}
	return s, good.check(ctx)
}

// nextToStrangers adds the row of one flood.
func (b *bench) nextToStrangers(ctx context.Context, s *section, good *side, f flood) error {
	var alone, next []turn
	var knocks series
	var refusedAlone, refused, of atomic.Int64
	err := takeTurns(ctx, b.size.rounds, keep(&alone, func(ctx context.Context, _ int) (turn, error) {
		t, _, err := b.goodTurn(ctx, good, f, &refusedAlone)
		return t, err
	}), keep(&next, func(ctx context.Context, _ int) (turn, error) {
		stop, err := f.begin(ctx, good.host)
		if err != nil {
			return turn{}, err
		}
		t, accepted, err := b.goodTurn(ctx, good, f, &refused)
		knocks = append(knocks, stop())
		of.Add(accepted)
		return t, err
	}))
	if err != nil {
		return err
	}
	if n := refusedAlone.Load(); n > 0 {
		return fmt.Errorf("%d good requests were refused without strangers", n)
	}
	of.Add(refused.Load())
	p99, p99Next := figures(alone, answeredP99), figures(next, answeredP99)
	r := s.row("strangers_"+f.slug()+"_", f.name, whole(knocks.median()))
	r.figure("p99_alone", p99.median(), milliseconds)
	r.figure("p99", p99Next.median(), milliseconds)
	r.figure("p99_to_alone", p99Next.to(p99), ratio)
	r.figure("refused", float64(refused.Load()), requests)
	r.figure("good", float64(of.Load()), requests)
	return nil
}

func (b *bench) goodTurn(ctx context.Context, good *side, f flood, refused *atomic.Int64) (t turn, accepted int64, err error) {
	sent, err := good.flow(ctx, load{connections: 32, rate: f.goodRate, lasts: f.turn * b.size.measure, refused: refused})
	if err != nil || len(sent.requests) == 0 {
		return t, 0, err
	}
	effects, err := good.settled(ctx, sent)
	if err == nil {
		t.add(sent, effects)
	}
	return t, int64(len(sent.requests)), err
}

// begin returns once all strangers are connected. stop ends them, and gives how many
// connections they opened a second.
func (f flood) begin(ctx context.Context, host string) (stop func() float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var all errgroup.Group
	var opened atomic.Int64
	start := time.Now()
	connected := make(chan error, f.connections)
	knock := f.dribble
	if f.pace == forging {
		knock = f.forge
	}
	for i := range f.connections {
		all.Go(func() error {
			if f.pace == dribbling {
				select {
				case <-time.After(time.Duration(i) * time.Second / time.Duration(f.connections)):
				case <-ctx.Done():
				}
			}
			err := knock(ctx, host, i, &opened)
			connected <- err
			for err == nil && ctx.Err() == nil {
				err = knock(ctx, host, i, &opened)
			}
			return nil
		})
	}
	stop = func() float64 {
		cancel()
		all.Wait() // none is returned
		return float64(opened.Load()) / time.Since(start).Seconds()
	}
	for opened.Load() < int64(f.connections) {
		select {
		case err := <-connected:
			if err != nil {
				stop()
				return nil, err
			}
		case <-time.After(pollEvery):
		case <-ctx.Done():
			stop()
			return nil, context.Cause(ctx)
		}
	}
	return stop, nil
}

// dribble sends a byte a second on one connection, until it is closed. Only a
// connection that cannot be made is an error.
func (f flood) dribble(ctx context.Context, host string, i int, opened *atomic.Int64) error {
	conn, err := f.dial(ctx, host, i)
	if conn == nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	opened.Add(1)
	answer := make([]byte, 1<<10)
	for piece := f.head; ; piece = cmp.Or(f.piece, oneByte) {
		if _, err := conn.Write([]byte(piece)); err != nil {
			return nil
		}
		conn.SetReadDeadline(time.Now().Add(time.Second)) // then it is closed
		for {
			if _, err := conn.Read(answer); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				return nil
			}
		}
	}
}

// dial connects the i-th stranger; there is neither a connection nor an error at the
// end of a turn.
func (f flood) dial(ctx context.Context, host string, i int) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if f.many {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))}
	}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("connect as a stranger: %w", err)
	}
	if err != nil {
		return nil, nil
	}
	return conn, nil
}

// forge sends whole requests on one connection until it is closed. A request that is
// accepted is an error.
func (f flood) forge(ctx context.Context, host string, i int, opened *atomic.Int64) error {
	conn, err := f.dial(ctx, host, i)
	if conn == nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s := &sender{conn: conn, reader: bufio.NewReaderSize(conn, 1<<10)}
	for {
		opened.Add(1)
		status, err := s.post([]byte(f.head))
		switch {
		case err != nil:
			return nil // closed, as 429 does
		case status == "202":
			return errors.New("a wrong signature was accepted")
		}
	}
}
