package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// result is what one attempt to store a message came to.
type result string

const (
	confirmed result = "confirmed"
	// refused: this attempt stored nothing, and the next one would not either.
	refused result = "refused"
	// notStored: this attempt certainly stored nothing. The next one may.
	notStored result = "not_stored"
	// unknown: the message may be stored, now or later: it may lie in the buffer of
	// a server that stands still.
	unknown result = "unknown"
)

func newAttemptBackOff() *backoff.ExponentialBackOff {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 10*time.Millisecond, 250*time.Millisecond
	return wait
}

// attempt publishes once, and counts what came of it. Attempts of one message
// have one id: within JetStream's duplicate window a message that was stored
// although the answer got lost is stored once.
func (p *Publisher) attempt(ctx context.Context, stream string, msg *nats.Msg, id string) (stored uint64, r result, err error) {
	err = ErrNotConnected
	if p.conn.Connected() {
		ctx, cancel := context.WithTimeout(ctx, p.timeout)
		var ack *jetstream.PubAck
		ack, err = p.conn.js.PublishMsg(ctx, msg,
			jetstream.WithMsgID(id), jetstream.WithExpectStream(stream), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			stored = ack.Sequence
		}
	}
	r = resultOf(err)
	p.attempts.WithLabelValues(string(r)).Inc()
	switch {
	case r == confirmed:
		p.trouble.Store(nil)
	case r == refused:
		err = fmt.Errorf("the stream %s refused: %w", stream, notSetUp(err))
	default:
		p.setTrouble(ctx, stream, err)
	}
	return stored, r, err
}

// setTrouble remembers why the broker does not confirm, unless the error tells
// less than the one before it.
func (p *Publisher) setTrouble(ctx context.Context, stream string, err error) {
	if before := p.trouble.Load(); before != nil {
		answered := errors.Is(*before, ErrNoLeader) || errors.Is(*before, jetstream.ErrStreamNotFound)
		if errors.Is(err, context.DeadlineExceeded) || answered && errors.Is(noLeader(err), ErrNoLeader) {
			return
		}
	}
	err = p.conn.explain(ctx, stream, err)
	p.trouble.Store(&err)
}

const (
	// streamFull is the server's JSStreamStoreFailed, which DiscardNew answers with
	// once MaxBytes is reached, and a server that cannot write with, too.
	streamFull      jetstream.ErrorCode = 10077
	streamFullWords                     = "maximum bytes exceeded"
	// inProcess is the server's JSStreamDuplicateMessageConflict: an attempt before
	// this one waits for a quorum.
	inProcess jetstream.ErrorCode = 10158
)

// resultOf tells what an error says of the message. The leader of the stream
// answers with an error before it proposes the message to the other servers, with
// two exceptions: a message that waits for them already, and a disk that fails.
func resultOf(err error) result {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return confirmed
	case !errors.As(err, &api):
		return resultOfConnection(err)
	case api.ErrorCode == inProcess:
		return unknown
	case api.ErrorCode == streamFull && strings.Contains(api.Description, streamFullWords):
		return refused
	case api.ErrorCode == streamFull:
		return unknown
	case api.Code >= 400 && api.Code < 500 && api.Code != 429 && api.Code != 408:
		return refused
	}
	return notStored // no leader, no resources, too many requests
}

// resultOfConnection is resultOf where the stream has not answered.
func resultOfConnection(err error) result {
	for _, never := range []error{nats.ErrMaxPayload, nats.ErrConnectionClosed} {
		if errors.Is(err, never) {
			return refused
		}
	}
	for _, unsent := range []error{
		ErrNotConnected, nats.ErrReconnectBufExceeded,
		// Nobody was there to take it.
		jetstream.ErrNoStreamResponse, nats.ErrNoResponders,
	} {
		if errors.Is(err, unsent) {
			return notStored
		}
	}
	return unknown
}

// Capture stores a sample of a draft webhook.
func (p *Publisher) Capture(ctx context.Context, d delivery.Delivery) error {
	var e encoded
	if err := e.encode(&d); err != nil {
		return fmt.Errorf("encode a sample: %w", err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.deadline)
		defer cancel()
	}
	msg := &nats.Msg{Subject: samplesSubjectPrefix + d.WebhookID, Data: e.appendTo(nil), Header: withFormat(nil, e.format)}
	wait := newAttemptBackOff()
	for {
		switch _, r, err := p.attempt(ctx, samplesStream, msg, d.ID.String()); r {
		case confirmed:
			return nil
		case refused:
			return err
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
			return p.late(context.Cause(ctx))
		}
	}
}
