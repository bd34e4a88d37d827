package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// The names of what lies in the broker.
const (
	deliveriesStream  = "DELIVERIES"
	deliveriesSubject = "coinhook.deliveries"
	applierConsumer   = "applier"

	samplesStream        = "SAMPLES"
	samplesSubjectPrefix = "coinhook.samples."

	webhooksBucket = "webhooks"
	stateBucket    = "state"

	incarnationKey = "coinhook_incarnation"
)

const (
	// maxMessageBytes is JetStream's and the server's usual limit for a message.
	maxMessageBytes = 1 << 20
	// messageOverheadBytes is room for what travels with a body: 8 KiB of headers
	// kept, as many again for their framing, ids, and the message's own headers.
	messageOverheadBytes = 20 << 10
	// MaxBodyBytes is the largest body that a message takes, where the server does.
	MaxBodyBytes = maxMessageBytes - messageOverheadBytes

	// AckWait is how long a message may stay with an applier that shows no sign
	// of life, and so how long its deliveries wait when that applier is killed.
	// Appliers show signs of life three times as often.
	AckWait = 10 * time.Second

	// maxAckPending bounds the messages out with all appliers together. Those that are
	// set aside count: when there are so many the others wait for them.
	maxAckPending = 100_000

	samplesPerWebhook = 10
	samplesMaxAge     = 7 * 24 * time.Hour
	revisionsKept     = 64
)

// Topology says what an installation wants of its streams.
type Topology struct {
	// Replicas of every stream: 1, 3 or 5.
	Replicas int
	// MaxBytes bounds the stream of deliveries; a full one refuses, and drops
	// nothing. 0 is no bound.
	MaxBytes int64
}

// Setup creates what is missing and brings what is there up to date.
func (c *Conn) Setup(ctx context.Context, t Topology) error {
	t.Replicas = max(t.Replicas, 1)
	deliveries := jetstream.StreamConfig{
		Name:        deliveriesStream,
		Description: "Coinhook: accepted deliveries, one batch a message.",
		Subjects:    []string{deliveriesSubject},
		Storage:     jetstream.FileStorage,
		// An acked message stays: for replay, Catch and the audit. The broker lets go
		// of none by itself, not by age either: it does not know which are settled.
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    orUnlimited(t.MaxBytes),
		MaxMsgSize:  maxMessageBytes,
		DenyDelete:  true,
		AllowDirect: true,
		Duplicates:  2 * time.Minute,
		Replicas:    t.Replicas,
	}
	samples := jetstream.StreamConfig{
		Name:              samplesStream,
		Description:       "Coinhook: payloads captured by draft webhooks.",
		Subjects:          []string{samplesSubjectPrefix + "*"},
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardOld,
		MaxMsgsPerSubject: samplesPerWebhook,
		MaxAge:            samplesMaxAge,
		MaxMsgSize:        maxMessageBytes,
		AllowDirect:       true,
		Replicas:          t.Replicas,
	}
	for _, cfg := range []jetstream.StreamConfig{deliveries, samples} {
		if err := c.setupStream(ctx, cfg); err != nil {
			return err
		}
	}
	for _, cfg := range []jetstream.KeyValueConfig{
		{Bucket: webhooksBucket, Description: "Coinhook: definitions of webhooks.", History: revisionsKept},
		{Bucket: stateBucket, Description: "Coinhook: what services tell each other of what is pending.", History: 1},
	} {
		cfg.Storage, cfg.Replicas = jetstream.FileStorage, t.Replicas
		if _, err := c.js.CreateOrUpdateKeyValue(ctx, cfg); err != nil {
			return fmt.Errorf("set up the bucket %s: %w", cfg.Bucket, err)
		}
	}
	if _, err := c.js.CreateOrUpdateConsumer(ctx, deliveriesStream, jetstream.ConsumerConfig{
		Durable:       applierConsumer,
		Description:   "Coinhook: what the appliers have settled.",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       AckWait,
		// Past a limit JetStream skips a message for good. The applier decides
		// what is dead.
		MaxDeliver:    -1,
		MaxAckPending: maxAckPending,
	}); err != nil {
		return fmt.Errorf("set up the consumer %s: %w", applierConsumer, err)
	}
	return nil
}

// setupStream creates the stream with an incarnation of its own, by which a
// stream that was deleted and made again is told from the one before.
func (c *Conn) setupStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	s, err := c.js.Stream(ctx, cfg.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		cfg.Metadata = map[string]string{incarnationKey: delivery.NewID().String()}
		_, err = c.js.CreateStream(ctx, cfg)
	case err == nil:
		cfg.Metadata = s.CachedInfo().Config.Metadata
		_, err = c.js.UpdateStream(ctx, cfg)
	}
	if err != nil {
		return fmt.Errorf("set up the stream %s: %w", cfg.Name, err)
	}
	return nil
}

func orUnlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}
