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
)

// errNoSuchNoise says that this build of Coinhook cannot do it.
var errNoSuchNoise = errors.New("this build cannot do it")

// noise is what a neighbour does. prepare makes its community; do makes the noise
// until its context ends and counts what was accepted; end, where there is one,
// ends what would go on.
type noise struct {
	name    string
	prepare func(ctx context.Context, b *bench, community string) (
		do func(context.Context) (accepted int64, err error), end func(context.Context) error, err error)
}

func (n noise) slug() string { return strings.ToLower(strings.ReplaceAll(n.name, " ", "_")) }

var noises = []noise{
	{"missing key", missingKey},
	{"paused", paused},
	{"locked users", lockedUsers},
	{"bodies of 500 KiB", largeBodies},
	{"decryption_failed", undecryptable},
	{"50 changes each", manyChanges},
	{"hot user", hotUser},
	{"fields delete", fieldsDelete},
	{"replay", replayAll},
}

// noisyUsers is how many users a noisy community has.
const noisyUsers = 100

// neighbour is a noisy community with one webhook.
type neighbour struct {
	b         *bench
	community string
	host      string
	webhook   webhook
}

// neighbour makes one. The definition is the usual one with other lines in place of
// its encryption and its mappings, where they are given.
func (b *bench) neighbour(ctx context.Context, community, encryption, mappings string, env ...string) (*neighbour, error) {
	text := definition
	if encryption != "" {
		text = strings.Replace(text, "encryption: none", "encryption: "+encryption, 1)
	}
	if mappings != "" {
		text = text[:strings.Index(text, "mappings:")] + mappings
	}
	hook, err := b.newCommunity(ctx, community, 0, users/noisyUsers, text, env...)
	return &neighbour{b, community, b.host, hook}, err
}

// spew sends at a rate, each request of another user.
func (n *neighbour) spew(rate, connections, bodyBytes int) func(context.Context) (int64, error) {
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

func (n *neighbour) send(rate, connections int, next func() []byte) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) { return spew(ctx, n.host, rate, connections, 0, next) }
}

// garbage is an encrypted body that no key opens.
func (n *neighbour) garbage(rate int) func(context.Context) (int64, error) {
	text := make([]byte, usualBody*3/4)
	rand.Read(text) // documented never to fail
	request := newRequest(n.host, n.webhook, base64.StdEncoding.AppendEncode(nil, text), "X-Encrypted: true")
	return n.send(rate, 64, func() []byte { return request })
}

// remove deletes the webhook, so that what waits for it fails.
func (n *neighbour) remove(ctx context.Context) error {
	return n.b.do(ctx, "webhooks", "delete", n.webhook.ID, "--yes")
}

type doing = func(context.Context) (int64, error)

// missingKey sends to a webhook whose key is sealed under another master key.
func missingKey(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	key := make([]byte, 32)
	rand.Read(key) // documented never to fail
	n, err := b.neighbour(ctx, community, "gcm", "", "COINHOOK_MASTER_KEY="+base64.StdEncoding.EncodeToString(key))
	if err != nil {
		return nil, nil, err
	}
	return n.garbage(1000), n.remove, nil
}

func paused(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	n, err := b.neighbour(ctx, community, "", "")
	if err != nil {
		return nil, nil, err
	}
	if err := b.do(ctx, "webhooks", "pause", n.webhook.ID, "--yes"); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoSuchNoise, err)
	}
	return n.spew(1000, 64, usualBody), func(ctx context.Context) error {
		return b.do(ctx, "webhooks", "resume", n.webhook.ID, "--yes")
	}, nil
}

// lockedUsers sends to users whose rows a transaction holds, as a person with psql
// may do.
func lockedUsers(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	n, err := b.neighbour(ctx, community, "", "")
	if err != nil {
		return nil, nil, err
	}
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("lock users: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "SELECT FROM users WHERE community = $1 FOR UPDATE", community); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("lock users: %w", err), tx.Rollback())
	}
	free := time.AfterFunc(2*b.size.measure, func() { tx.Rollback() }) // nothing is written
	return n.spew(200, 32, usualBody), func(context.Context) error {
		if free.Stop() {
			return tx.Rollback()
		}
		return nil
	}, nil
}

func largeBodies(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	n, err := b.neighbour(ctx, community, "", "")
	if err != nil {
		return nil, nil, err
	}
	return n.spew(40, 8, 500<<10), nil, nil
}

func undecryptable(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	n, err := b.neighbour(ctx, community, "gcm", "")
	if err != nil {
		return nil, nil, err
	}
	return n.garbage(1000), n.remove, nil
}

// manyChanges has as many mappings as a definition may.
func manyChanges(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	const most = 50
	n, err := b.neighbour(ctx, community, "", "mappings:\n"+strings.Repeat("  - {currency: xp, operator: add, value: {constant: \"1\"}}\n", most))
	if err != nil {
		return nil, nil, err
	}
	return n.spew(100, 32, usualBody), nil, nil
}

func hotUser(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	n, err := b.neighbour(ctx, community, "", "")
	if err != nil {
		return nil, nil, err
	}
	request := newRequest(n.host, n.webhook, newBody(0, 1, usualBody))
	return n.send(2000, 64, func() []byte { return request }), nil, nil
}

// fieldsDelete deletes a custom field of which so many users have a value.
func fieldsDelete(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	if _, err := b.neighbour(ctx, community, "", ""); err != nil {
		return nil, nil, err
	}
	if err := b.do(ctx, "fields", "set", "note", "--type", "text", "--community", community, "--create-community", "--yes"); err != nil {
		return nil, nil, err
	}
	const fill = `
WITH made AS (
    INSERT INTO users (id, community, username, username_key)
    SELECT gen_random_uuid(), $1, 'filled-' || n, 'filled-' || n FROM generate_series(1, $2::int) n RETURNING id
)
INSERT INTO user_fields (user_id, field, value, delivery_id, stream_epoch, stream_sequence, stream_index)
SELECT id, 'note', 'a text of some length', gen_random_uuid(), 0, 1, 0 FROM made`
	if _, err := b.db.ExecContext(ctx, fill, community, 15*b.size.noise); err != nil {
		return nil, nil, fmt.Errorf("fill a custom field: %w", err)
	}
	return func(context.Context) (int64, error) {
		// It ends by itself: the context's end is the healthy load's.
		return 0, b.do(ctx, "fields", "delete", "note", "--community", community, "--yes")
	}, nil, nil
}

// replayAll replays dead letters that fail again.
func replayAll(ctx context.Context, b *bench, community string) (doing, func(context.Context) error, error) {
	n, err := b.neighbour(ctx, community, "", "")
	if err != nil {
		return nil, nil, err
	}
	body := bytes.Replace(newBody(0, 1, usualBody), []byte(`"points"`), []byte(`"absent"`), 1)
	request := newRequest(n.host, n.webhook, body)
	accepted, err := spew(ctx, n.host, 0, 64, b.size.noise, func() []byte { return request })
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, effectsWithin, errors.New("the dead letters take too long"))
	defer cancel()
	for failed := int64(0); failed < accepted; {
		const count = "SELECT count(*) FROM outcomes WHERE community = $1 AND status = 'failed'"
		if err := b.db.QueryRowContext(ctx, count, community).Scan(&failed); err != nil {
			return nil, nil, fmt.Errorf("count the dead letters: %w", errors.Join(err, context.Cause(ctx)))
		}
		time.Sleep(pollEvery)
	}
	return func(ctx context.Context) (int64, error) {
		return 0, b.do(ctx, "dlq", "replay", "--webhook", n.webhook.ID, "--yes")
	}, nil, nil
}
