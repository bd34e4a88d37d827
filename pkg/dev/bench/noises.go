package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// errNoSuchNoise says that this build of Coinhook cannot do it.
var errNoSuchNoise = errors.New("this build cannot do it")

// doing makes a noise until its context ends, and counts what was accepted.
type doing = func(context.Context) (accepted int64, err error)

// ending ends what would go on after a noise. It is nil where nothing would.
type ending = func(context.Context) error

// noise is what a neighbour does.
type noise struct {
	name string
	// encryption and mappings are those of its webhook, where they are not the usual
	// ones.
	encryption, mappings string
	// isForeign has the webhook's key sealed under another master key.
	isForeign bool
	prepare   func(ctx context.Context, n *neighbour) (doing, ending, error)
}

func (n noise) slug() string { return strings.ToLower(strings.ReplaceAll(n.name, " ", "_")) }

var noises = []noise{
	{name: "missing key", encryption: "gcm", isForeign: true, prepare: garbage},
	{name: "paused", prepare: paused},
	{name: "locked users", prepare: lockedUsers},
	{name: "bodies of 500 KiB", prepare: spewing(40, 8, 500<<10)},
	{name: "decryption_failed", encryption: "gcm", prepare: garbage},
	{name: "50 changes each", mappings: mostMappings, prepare: spewing(100, 32, usualBody)},
	{name: "hot user", prepare: hotUser},
	{name: "fields delete", prepare: fieldsDelete},
	{name: "replay", prepare: replayAll},
}

// mostMappings are as many as a definition may have.
var mostMappings = "mappings:\n" + strings.Repeat("  - {currency: xp, operator: add, value: {constant: \"1\"}}\n", 50)

// noisyUsers is how many users a noisy community has.
const noisyUsers = 100

// neighbour is a noisy community with one webhook.
type neighbour struct {
	*bench
	community string
	webhook   webhook
}

// neighbour makes the community of a noise.
func (b *bench) neighbour(ctx context.Context, community string, n noise) (*neighbour, error) {
	text := definition
	if n.encryption != "" {
		text = strings.Replace(text, "encryption: none", "encryption: "+n.encryption, 1)
	}
	if n.mappings != "" {
		text = text[:strings.Index(text, "mappings:")] + n.mappings
	}
	var env []string
	if n.isForeign {
		env = []string{"COINHOOK_MASTER_KEY=" + devstack.NewKey()}
	}
	hook, err := b.newCommunity(ctx, community, 0, users/noisyUsers, text, env...)
	return &neighbour{b, community, hook}, err
}

// spewing is a noise that only sends.
func spewing(rate, connections, bodyBytes int) func(context.Context, *neighbour) (doing, ending, error) {
	return func(_ context.Context, n *neighbour) (doing, ending, error) {
		return n.spew(rate, connections, bodyBytes), nil, nil
	}
}

// spew sends at a rate, each request of another user.
func (n *neighbour) spew(rate, connections, bodyBytes int) doing {
	requests := make(chan []byte, noisyUsers)
	for i := range noisyUsers {
		user := i * users / noisyUsers
		requests <- newRequest(n.host, n.webhook, newBody(user, 1, bodyBytes))
	}
	return n.send(rate, connections, func() []byte {
		r := <-requests
		requests <- r
		return r
	})
}

func (n *neighbour) send(rate, connections int, next func() []byte) doing {
	return func(ctx context.Context) (int64, error) { return spew(ctx, n.host, rate, connections, 0, next) }
}

// garbage sends an encrypted body that no key opens. Its webhook is deleted at the end,
// so that what waits for it fails.
func garbage(_ context.Context, n *neighbour) (doing, ending, error) {
	text := make([]byte, usualBody*3/4)
	rand.Read(text) // documented never to fail
	request := newRequest(n.host, n.webhook, base64.StdEncoding.AppendEncode(nil, text), "X-Encrypted: true")
	return n.send(1000, 64, func() []byte { return request }), func(ctx context.Context) error {
		return n.do(ctx, "webhooks", "delete", n.webhook.ID, "--yes")
	}, nil
}

func paused(ctx context.Context, n *neighbour) (doing, ending, error) {
	if err := n.do(ctx, "webhooks", "pause", n.webhook.ID, "--yes"); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoSuchNoise, err)
	}
	return n.spew(1000, 64, usualBody), func(ctx context.Context) error {
		return n.do(ctx, "webhooks", "resume", n.webhook.ID, "--yes")
	}, nil
}

// lockedUsers sends to users whose rows a transaction holds, as a person with psql
// may do.
func lockedUsers(ctx context.Context, n *neighbour) (doing, ending, error) {
	tx, err := n.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("lock users: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "SELECT FROM users WHERE community = $1 FOR UPDATE", n.community); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("lock users: %w", err), tx.Rollback())
	}
	free := time.AfterFunc(2*n.size.measure, func() { tx.Rollback() }) // nothing is written
	return n.spew(200, 32, usualBody), func(context.Context) error {
		if free.Stop() {
			return tx.Rollback()
		}
		return nil
	}, nil
}

func hotUser(_ context.Context, n *neighbour) (doing, ending, error) {
	request := newRequest(n.host, n.webhook, newBody(0, 1, usualBody))
	return n.send(2000, 64, func() []byte { return request }), nil, nil
}

// fieldsDelete deletes a custom field of which this many users have a value.
func fieldsDelete(ctx context.Context, n *neighbour) (doing, ending, error) {
	if err := n.do(ctx, "fields", "set", "note", "--type", "text", "--community", n.community, "--create-community", "--yes"); err != nil {
		return nil, nil, err
	}
	const fill = `
WITH made AS (
    INSERT INTO users (id, community, username, username_key)
    SELECT gen_random_uuid(), $1, 'filled-' || n, 'filled-' || n FROM generate_series(1, $2::int) n RETURNING id
)
INSERT INTO user_fields (user_id, field, value, delivery_id, stream_epoch, stream_sequence, stream_index)
SELECT id, 'note', 'a text of some length', gen_random_uuid(), 0, 1, 0 FROM made`
	if _, err := n.db.ExecContext(ctx, fill, n.community, 15*n.size.noise); err != nil {
		return nil, nil, fmt.Errorf("fill a custom field: %w", err)
	}
	return func(context.Context) (int64, error) {
		// It ends by itself: the context's end is the healthy load's.
		return 0, n.do(ctx, "fields", "delete", "note", "--community", n.community, "--yes")
	}, nil, nil
}

// replayAll replays dead letters that fail again.
func replayAll(ctx context.Context, n *neighbour) (doing, ending, error) {
	body := bytes.Replace(newBody(0, 1, usualBody), []byte(`"points"`), []byte(`"absent"`), 1)
	request := newRequest(n.host, n.webhook, body)
	accepted, err := spew(ctx, n.host, 0, 64, n.size.noise, func() []byte { return request })
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, effectsWithin, errors.New("the dead letters take too long"))
	defer cancel()
	if err := poll(ctx, func() (bool, error) {
		var failed int64
		err := n.db.QueryRowContext(ctx, "SELECT count(*) FROM outcomes WHERE community = $1 AND status = 'failed'", n.community).Scan(&failed)
		return failed >= accepted, err
	}); err != nil {
		return nil, nil, fmt.Errorf("count the dead letters: %w", err)
	}
	return func(ctx context.Context) (int64, error) {
		return 0, n.do(ctx, "dlq", "replay", "--webhook", n.webhook.ID, "--yes")
	}, nil, nil
}
