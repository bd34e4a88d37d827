package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// ingressRound is one turn of both sides.
type ingressRound struct{ accepted, batch, single, batched float64 }

// The bare publishers' stream has the settings of the stack's.
const (
	bareStream  = "BENCH"
	bareSubject = "coinhook.bench.deliveries" // the admin of NATS may use it
)

// ingress compares what the ingress accepts with bare publishing. The appliers
// are stopped meanwhile.
func (b *bench) ingress(ctx context.Context) (section, error) {
	s := section{
		Title: "Ingress: accepted (202) against bare publishing, sync always, in deliveries/s",
		Notes: []string{
			"bare single: one delivery a message, from as many publishers as there are senders.",
			"bare batched: one publisher, messages as large as the ingress's were: the bound for its group commit.",
		},
		header: []string{"senders", "ingress", "a message", "bare single", "ratio", "bare batched", "ratio"},
	}
	if err := b.stopAppliers(ctx); err != nil {
		return s, err
	}
	ours, err := b.newSide(ctx, "bench", 1)
	if err != nil {
		return s, err
	}
	if err := b.createStream(ctx, bareStream, bareSubject); err != nil {
		return s, err
	}
	rounds := map[int][]ingressRound{}
	for range b.size.rounds {
		for _, n := range crowds {
			r, err := b.ingressRound(ctx, ours, n)
			if err != nil {
				return s, err
			}
			rounds[n] = append(rounds[n], r)
		}
	}
	for _, n := range crowds {
		s.addIngress(n, rounds[n])
	}
	return s, b.finish(ctx, ours)
}

func (s *section) addIngress(senders int, rounds []ingressRound) {
	accepted := figures(rounds, func(r ingressRound) float64 { return r.accepted })
	single := figures(rounds, func(r ingressRound) float64 { return r.single })
	batched := figures(rounds, func(r ingressRound) float64 { return r.batched })
	r := s.row(fmt.Sprintf("ingress_%d_", senders), strconv.Itoa(senders))
	r.figure("accepted", accepted.median(), perSecond)
	r.figure("batch", figures(rounds, func(r ingressRound) float64 { return r.batch }).median(), deliveries)
	r.figure("bare_single", single.median(), perSecond)
	r.figure("to_bare_single", accepted.to(single), ratio)
	r.figure("bare_batched", batched.median(), perSecond)
	r.figure("to_bare_batched", accepted.to(batched), ratio)
}

func (b *bench) ingressRound(ctx context.Context, ours *side, n int) (r ingressRound, err error) {
	before, err := b.published(ctx)
	if err != nil {
		return r, err
	}
	sent, err := ours.flow(ctx, load{connections: n, lasts: b.size.measure / 2})
	if err != nil {
		return r, err
	}
	ours.waiting = append(ours.waiting, sent.requests...)
	after, err := b.published(ctx)
	if err != nil {
		return r, err
	}
	deliveries := after.deliveries - before.deliveries
	r.accepted = float64(len(sent.requests)) / sent.end.Sub(sent.start).Seconds()
	r.batch = deliveries / (after.messages - before.messages)
	size := (after.bytes - before.bytes) / deliveries
	single, err := b.publishBare(ctx, n, size)
	if err != nil {
		return r, err
	}
	batched, err := b.publishBare(ctx, 1, size*r.batch)
	r.single, r.batched = single, batched*r.batch
	return r, err
}

// publishBare has n publishers store messages of so many bytes, with the ids and
// checks that the ingress asks for. It returns messages a second.
func (b *bench) publishBare(ctx context.Context, n int, bytes float64) (float64, error) {
	data := make([]byte, int(bytes))
	messages, err := flatOut(ctx, n, b.size.measure/2, func(ctx context.Context, _ int) error {
		_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: bareSubject, Data: data},
			jetstream.WithMsgID(delivery.NewID().String()), jetstream.WithExpectStream(bareStream))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("publish to the stream %s: %w", bareStream, err)
	}
	s, err := b.js.Stream(ctx, bareStream)
	if err == nil {
		err = s.Purge(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("empty the stream %s: %w", bareStream, err)
	}
	return messages, nil
}

// published is what the ingress counts of its messages, and their bytes.
type published struct{ deliveries, messages, bytes float64 }

func (b *bench) published(ctx context.Context) (p published, err error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return p, fmt.Errorf("read the state of the stream %s: %w", stream, err)
	}
	p.bytes = float64(s.CachedInfo().State.Bytes)
	const metric = "coinhook_publish_batch_deliveries"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.stack.OpsURL("ingress")+"/metrics", nil)
	if err != nil {
		return p, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return p, fmt.Errorf("read the ingress's metrics: %w", err)
	}
	defer resp.Body.Close() // it is read whole
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		into := map[string]*float64{metric + "_sum": &p.deliveries, metric + "_count": &p.messages}[name]
		if into == nil {
			continue
		}
		if *into, err = strconv.ParseFloat(value, 64); err != nil {
			return p, fmt.Errorf("the ingress's metric %s: %w", name, err)
		}
	}
	if err := lines.Err(); err != nil {
		return p, fmt.Errorf("read the ingress's metrics: %w", err)
	}
	return p, nil
}
