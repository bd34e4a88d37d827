package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/rejection"
)

const (
	rejectionsStream        = "REJECTIONS"
	rejectionsSubjectPrefix = "coinhook.rejections."

	rejectionsPerWebhook = 100
	rejectionsMaxAge     = 7 * 24 * time.Hour
	// maxRejectionBytes bounds a note: a cause, a few headers and counts.
	maxRejectionBytes = 16 << 10
)

// rejectionsSpec is the stream of what ingresses refused. It never touches the ledger.
func rejectionsSpec() streamSpec {
	return streamSpec{
		name: rejectionsStream, title: "stream " + rejectionsStream,
		fresh: jetstream.StreamConfig{
			Name:        rejectionsStream,
			Description: "Coinhook: requests that ingresses refused, the last ones of each webhook.",
			Storage:     jetstream.FileStorage,
			MaxAge:      rejectionsMaxAge,
		},
		fit: func(cfg *jetstream.StreamConfig) {
			cfg.Subjects = []string{rejectionsSubjectPrefix + "*"}
			cfg.Discard, cfg.MaxMsgsPerSubject = jetstream.DiscardOld, rejectionsPerWebhook
			cfg.MaxMsgSize, cfg.AllowDirect = maxRejectionBytes, true
			if cfg.MaxAge > 0 { // the server refuses a longer one
				cfg.Duplicates = min(cfg.Duplicates, cfg.MaxAge)
			}
		},
	}
}

// RejectionStore stores notes of rejections for an ingress.
type RejectionStore struct {
	conn *Conn
	log  zerolog.Logger
}

// NewRejectionStore returns a store. It needs nothing of the broker yet.
func NewRejectionStore(c *Conn, log zerolog.Logger) *RejectionStore {
	return &RejectionStore{conn: c, log: log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})}
}

// StoreRejection makes one attempt. If a note cannot be stored, the ingress goes on
// without it.
func (s *RejectionStore) StoreRejection(ctx context.Context, webhookID string, n rejection.Note) error {
	err := s.store(ctx, webhookID, n)
	if err != nil && ctx.Err() == nil {
		s.log.Warn().Err(notSetUp(err)).Msg("rejections cannot be stored: they are counted until they can")
	}
	return err
}

func (s *RejectionStore) store(ctx context.Context, webhookID string, n rejection.Note) error {
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode a rejection: %w", err)
	}
	if !s.conn.Connected() {
		return ErrNotConnected
	}
	msg := &nats.Msg{Subject: rejectionsSubjectPrefix + webhookID, Data: data}
	_, err = s.conn.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(rejectionsStream), jetstream.WithRetryAttempts(0))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("%w: %w", jetstream.ErrStreamNotFound, err)
	}
	return err
}

// Rejections returns the notes that the broker has of a webhook, the newest first.
func (c *Conn) Rejections(ctx context.Context, webhookID string) ([]rejection.Note, error) {
	stream, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Stream, error) { return c.js.Stream(ctx, rejectionsStream) })
	if err != nil {
		return nil, fmt.Errorf("open the stream %s: %w", rejectionsStream, notSetUp(err))
	}
	var all []rejection.Note
	subject := rejectionsSubjectPrefix + webhookID
	// Notes that are stored meanwhile may make it one message longer.
	for sequence := uint64(1); len(all) < 2*rejectionsPerWebhook; {
		msg, err := stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the stream %s: %w", rejectionsStream, noLeader(err))
		}
		sequence = msg.Sequence + 1
		var n rejection.Note
		if json.Unmarshal(msg.Data, &n) != nil || n.At.IsZero() {
			continue // no ingress writes such a note
		}
		all = append(all, n)
	}
	slices.SortStableFunc(all, func(a, b rejection.Note) int { return b.At.Compare(a.At) })
	return all, nil
}
