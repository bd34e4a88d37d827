package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// benchSecret is that of webhooks whose requests are signed as GitHub signs.
const benchSecret = "It's a Secret to Everybody"

// signatures compares what the ingress accepts of signed requests with what it accepts
// of those with an API key. The appliers are stopped meanwhile.
func (b *bench) signatures(ctx context.Context) (section, error) {
	s := section{
		Title: "Signatures: accepted (202) with GitHub's signatures against API keys, in turns, in deliveries/s",
		Notes: []string{
			"Requests are signed before they are sent. All connections send flat out, the appliers are stopped.",
			"cpu: microseconds of the ingress a request, user and system.",
		},
		header: []string{"senders", "signed", "keys", "ratio", "cpu signed", "cpu keys", "ratio"},
	}
	if err := b.stopAppliers(ctx); err != nil {
		return s, err
	}
	keyed, err := b.newWorld(ctx, "keyed", 1, usualBody)
	if err != nil {
		return s, err
	}
	signed, err := b.signedWorld(ctx, "signed")
	if err != nil {
		return s, err
	}
	var sides [2]*side
	var all [2]sending
	for i, w := range []*world{signed, keyed} {
		if sides[i], err = b.coinhookSide(w); err != nil {
			return s, err
		}
	}
	for _, n := range crowds {
		var rates, cpu [2]series
		var turns []func(context.Context, int) error
		for i := range sides {
			turns = append(turns, func(ctx context.Context, _ int) error {
				sent, err := b.echoTurn(ctx, sides[i], devstack.Ingress, n, &rates[i], &cpu[i])
				all[i].requests = append(all[i].requests, sent.requests...)
				return err
			})
		}
		if err := takeTurns(ctx, echoRounds*b.size.rounds, turns...); err != nil {
			return s, err
		}
		s.addSignatures(n, rates, cpu)
	}
	if err := b.startAppliers(ctx); err != nil {
		return s, err
	}
	for i, side := range sides {
		if _, err := side.settled(ctx, all[i]); err != nil {
			return s, err
		}
		if err := side.check(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *section) addSignatures(senders int, rates, cpu [2]series) {
	name := fmt.Sprintf("signatures_%d_", senders)
	s.figure(name+"signed", rates[0].median(), perSecond)
	s.figure(name+"keys", rates[1].median(), perSecond)
	s.figure(name+"ratio", rates[0].to(rates[1]), ratio)
	s.figure(name+"cpu_signed", cpu[0].median(), microseconds)
	s.figure(name+"cpu_keys", cpu[1].median(), microseconds)
	s.rows = append(s.rows, []string{
		strconv.Itoa(senders), whole(rates[0].median()), whole(rates[1].median()), thousandths(rates[0].to(rates[1])),
		ms(cpu[0].median()), ms(cpu[1].median()), thousandths(cpu[0].to(cpu[1])),
	})
}

// signedWorld is newWorld with one community, whose webhook takes what GitHub signs.
func (b *bench) signedWorld(ctx context.Context, name string) (*world, error) {
	community := spread(name, 1)[0]
	if err := b.importUsers(ctx, nil, community, 0, 1); err != nil {
		return nil, err
	}
	hook, err := b.apply(ctx, nil, strings.Replace(fmt.Sprintf(definition, community), "api_key: true", "signature: github", 1))
	if err != nil {
		return nil, err
	}
	if _, err := b.coinhook(ctx, nil, []byte(benchSecret), "webhooks", "set-secret", hook.ID, "--secret-stdin"); err != nil {
		return nil, err
	}
	host, err := b.ingressHost()
	if err != nil {
		return nil, err
	}
	w := &world{communities: []string{community}, webhooks: []webhook{hook}, events: newEvents(host, []webhook{hook}, usualBody)}
	for i, e := range w.events {
		w.events[i].request = newRequest(host, hook, e.body, "X-Hub-Signature-256: "+signatureOf(e.body, benchSecret))
	}
	return w, b.awaitSecret(ctx, host, hook)
}

func signatureOf(body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// forgedRequest has a signature of the right form, by another secret.
func forgedRequest(host string, hook webhook) string {
	body := newBody(0, 1, usualBody)
	return string(newRequest(host, hook, body, "X-Hub-Signature-256: "+signatureOf(body, "guess")))
}

// awaitSecret waits until the ingress knows the secret: until then it answers 404 or
// 503.
func (b *bench) awaitSecret(ctx context.Context, host string, hook webhook) error {
	for {
		senders, err := dial(ctx, host, 1)
		if err != nil {
			return err
		}
		status, err := senders[0].post([]byte(forgedRequest(host, hook)))
		hangUp(senders) // nothing more is said on it
		if err != nil || status == strconv.Itoa(http.StatusUnauthorized) {
			return err
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
