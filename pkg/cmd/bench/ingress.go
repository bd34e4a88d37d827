package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// crowds are the numbers of concurrent senders, and of publishers.
var crowds = []int{64, 256}

// ingressRound is one turn of both sides.
type ingressRound struct{ accepted, batch, single, batched float64 }

// ingress compares what the ingress accepts with bare publishing. The appliers
// are stopped meanwhile.
func (b *bench) ingress(ctx context.Context) (section, error) {
	s := section{
		Title: "1. Ingress: accepted (202) against bare publishing, sync always, in deliveries/s",
		Notes: []string{
			"bare single: one delivery a message, from as many publishers as there are senders.",
			"bare batched: one publisher, messages as large as the ingress's were: the bound for its group commit.",
		},
		header: []string{"senders", "ingress", "a message", "bare single", "ratio", "bare batched", "ratio"},
	}
	if err := b.stopAppliers(ctx); err != nil {
		return s, err
	}
	if err := emptyTables(ctx, b.db); err != nil {
		return s, err
	}
	var sent tally
	rounds := map[int][]ingressRound{}
	for range b.size.rounds {
		for _, n := range crowds {
			r, err := b.ingressRound(ctx, n, &sent)
			if err != nil {
				return s, err
			}
			rounds[n] = append(rounds[n], r)
		}
	}
	for _, n := range crowds {
		s.addIngress(n, rounds[n])
	}
	if err := b.startAppliers(ctx); err != nil {
		return s, err
	}
	return s, b.settled(ctx, &sent)
}

func (s *section) addIngress(senders int, rounds []ingressRound) {
	of := func(pick func(ingressRound) float64) float64 {
		values := make([]float64, len(rounds))
		for i, r := range rounds {
			values[i] = pick(r)
		}
		return median(values)
	}
	accepted := of(func(r ingressRound) float64 { return r.accepted })
	batch := of(func(r ingressRound) float64 { return r.batch })
	single := of(func(r ingressRound) float64 { return r.single })
	batched := of(func(r ingressRound) float64 { return r.batched })
	// Neighbours in time are compared: a machine's speed changes as it goes.
	toSingle := of(func(r ingressRound) float64 { return r.accepted / r.single })
	toBatched := of(func(r ingressRound) float64 { return r.accepted / r.batched })
	name := fmt.Sprintf("ingress_%d_", senders)
	s.figure(name+"accepted", accepted, perSecond)
	s.figure(name+"batch", batch, deliveries)
	s.figure(name+"bare_single", single, perSecond)
	s.figure(name+"to_bare_single", toSingle, ratio)
	s.figure(name+"bare_batched", batched, perSecond)
	s.figure(name+"to_bare_batched", toBatched, ratio)
	s.rows = append(s.rows, []string{
		strconv.Itoa(senders), whole(accepted), ms(batch),
		whole(single), times(toSingle), whole(batched), times(toBatched),
	})
}

func (b *bench) ingressRound(ctx context.Context, n int, sent *tally) (r ingressRound, err error) {
	if r.single, err = b.publishBare(ctx, n, 1); err != nil {
		return r, err
	}
	before, err := b.batches(ctx)
	if err != nil {
		return r, err
	}
	if r.accepted, err = b.sendFlatOut(ctx, n, b.size.measure, sent); err != nil {
		return r, err
	}
	after, err := b.batches(ctx)
	if err != nil {
		return r, err
	}
	r.batch = (after.deliveries - before.deliveries) / (after.messages - before.messages)
	r.batched, err = b.publishBare(ctx, 1, int(math.Round(r.batch)))
	return r, err
}

// sendFlatOut has n senders post one delivery after the other.
func (b *bench) sendFlatOut(ctx context.Context, n int, d time.Duration, sent *tally) (rate float64, err error) {
	senders, err := b.dial(ctx, n)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, hangUp(senders)) }()
	choose := make([]chooser, n)
	for i := range choose {
		choose[i] = uniform(uint64(i))
	}
	return flatOut(ctx, n, d, func(_ context.Context, worker int) error {
		e := &b.events[choose[worker]()]
		if _, err := senders[worker].send(e.request); err != nil {
			return err
		}
		sent.add(e.points)
		return nil
	})
}

// publishBare has n publishers store messages of so many deliveries, with the
// ids and checks that the ingress asks for. The messages are encoded before:
// storing alone is measured. It returns deliveries a second.
func (b *bench) publishBare(ctx context.Context, n, batch int) (float64, error) {
	choose := uniform(1)
	chosen := make([]int, batch)
	for i := range chosen {
		chosen[i] = choose()
	}
	data, err := b.message(chosen)
	if err != nil {
		return 0, err
	}
	messages, err := flatOut(ctx, n, b.size.measure, func(ctx context.Context, _ int) error {
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
	return messages * float64(batch), nil
}

// published is what the ingress counts of its messages.
type published struct{ deliveries, messages float64 }

func (b *bench) batches(ctx context.Context) (p published, err error) {
	const metric = "coinhook_publish_batch_deliveries"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.stack.OpsURL("ingress")+"/metrics", nil)
	if err != nil {
		return p, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return p, fmt.Errorf("read the ingress's metrics: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is read whole
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
