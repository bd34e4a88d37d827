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
	keyed, err := b.newSide(ctx, "keyed", 1)
	if err != nil {
		return s, err
	}
	world, err := b.signedWorld(ctx, "signed")
	if err != nil {
		return s, err
	}
	signed := b.coinhookSide(world)
	for _, n := range crowds {
		turns, err := b.answering(ctx, moreRounds, n, signed, keyed)
		if err != nil {
			return s, err
		}
		s.addAnswers(fmt.Sprintf("signatures_%d_", n), strconv.Itoa(n), [2]string{"signed", "keys"}, turns)
	}
	for _, side := range []*side{signed, keyed} {
		if err := b.finish(ctx, side); err != nil {
			return s, err
		}
	}
	return s, nil
}

// signedWorld is newWorld with one community, whose webhook takes what GitHub signs.
func (b *bench) signedWorld(ctx context.Context, name string) (*world, error) {
	community := spread(name, 1)[0]
	hook, err := b.newCommunity(ctx, community, 0, 1, strings.Replace(definition, "api_key: true", "signature: github", 1))
	if err != nil {
		return nil, err
	}
	if _, err := b.coinhook(ctx, nil, benchSecret, "webhooks", "set-secret", hook.ID, "--secret-stdin"); err != nil {
		return nil, err
	}
	w := &world{communities: []string{community}, webhooks: []webhook{hook}, events: newEvents(b.host, []webhook{hook}, usualBody)}
	for i, e := range w.events {
		w.events[i].request = newRequest(b.host, hook, e.body, "X-Hub-Signature-256: "+signatureOf(e.body, benchSecret))
	}
	return w, b.awaitSecret(ctx, hook)
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
func (b *bench) awaitSecret(ctx context.Context, hook webhook) error {
	return poll(ctx, func() (bool, error) {
		senders, err := dial(ctx, b.host, 1)
		if err != nil {
			return false, err
		}
		defer hangUp(senders) // nothing more is said on it
		status, err := senders[0].post([]byte(forgedRequest(b.host, hook)))
		return status == strconv.Itoa(http.StatusUnauthorized), err
	})
}
