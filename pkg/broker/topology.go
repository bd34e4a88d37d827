package broker

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The names of what lies in the broker.
const (
	deliveriesStream  = "DELIVERIES"
	deliveriesSubject = "coinhook.deliveries"
	applierConsumer   = "applier" // of the version before partitions

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
	// MaxBodyBytes is the largest body that fits into a message, if the server
	// allows that.
	MaxBodyBytes = maxMessageBytes - messageOverheadBytes

	// partitionAckWait is that of the durable consumer which keeps a partition's floor.
	// Nobody reads from it, so nothing is ever sent again by it.
	partitionAckWait = 30 * time.Second

	samplesPerWebhook = 10
	samplesMaxAge     = 7 * 24 * time.Hour
	revisionsKept     = 64
)

// streamSpec is one stream of Coinhook's; a bucket is a stream, too.
type streamSpec struct {
	name  string // of the stream
	title string // for people
	// fresh is the stream as it is made where there is none.
	fresh jetstream.StreamConfig
	// bucket is set instead where the stream is a bucket's.
	bucket *jetstream.KeyValueConfig
	// fit corrects what Coinhook relies on, and leaves what an admin may choose:
	// copies, limits, placement, compression.
	fit func(*jetstream.StreamConfig)
}

// NoLimit removes a limit.
const NoLimit = -1

// streamSpecs are all streams, the one of the deliveries first.
func streamSpecs(t Topology) []streamSpec {
	return []streamSpec{
		{
			name: deliveriesStream, title: "stream " + deliveriesStream,
			fresh: jetstream.StreamConfig{
				Name:        deliveriesStream,
				Description: "Coinhook: accepted deliveries, one batch a message.",
				Storage:     jetstream.FileStorage,
				Retention:   jetstream.LimitsPolicy,
				MaxBytes:    NoLimit,
			},
			fit: func(cfg *jetstream.StreamConfig) {
				cfg.Subjects = []string{deliveriesSubject}
				// An acked message stays: for replay, Catch and the audit. The broker removes
				// none by itself, not by age either: it does not know which are settled.
				cfg.Discard, cfg.DiscardNewPerSubject = jetstream.DiscardNew, false
				cfg.MaxAge, cfg.MaxMsgs, cfg.MaxMsgsPerSubject = 0, NoLimit, NoLimit
				cfg.MaxMsgSize, cfg.DenyDelete, cfg.AllowDirect = maxMessageBytes, true, true
				cfg.Duplicates = 2 * time.Minute
				if t.MaxBytes != 0 {
					cfg.MaxBytes = max(t.MaxBytes, NoLimit)
				}
			},
		},
		{
			name: samplesStream, title: "stream " + samplesStream,
			fresh: jetstream.StreamConfig{
				Name:        samplesStream,
				Description: "Coinhook: payloads captured by draft webhooks.",
				Storage:     jetstream.FileStorage,
				MaxAge:      samplesMaxAge,
			},
			fit: func(cfg *jetstream.StreamConfig) {
				cfg.Subjects = []string{samplesSubjectPrefix + "*"}
				cfg.Discard, cfg.MaxMsgsPerSubject = jetstream.DiscardOld, samplesPerWebhook
				cfg.MaxMsgSize, cfg.AllowDirect = maxMessageBytes, true
				if t.SamplesMaxAge > 0 {
					cfg.MaxAge = t.SamplesMaxAge
				}
				if cfg.MaxAge > 0 { // the server refuses a longer one
					cfg.Duplicates = min(cfg.Duplicates, cfg.MaxAge)
				}
			},
		},
		rejectionsSpec(),
		bucketSpec(webhooksBucket, "Coinhook: definitions of webhooks.", revisionsKept),
		bucketSpec(stateBucket, "Coinhook: what services tell each other of what is pending.", 1),
	}
}

func bucketSpec(name, description string, history uint8) streamSpec {
	return streamSpec{
		name: bucketStreamPrefix + name, title: "bucket " + name,
		bucket: &jetstream.KeyValueConfig{Bucket: name, Description: description, History: history, Storage: jetstream.FileStorage},
		fit: func(cfg *jetstream.StreamConfig) {
			// Programs read it without consumers. The current value of a key stays for good.
			cfg.AllowDirect = true
			cfg.MaxAge, cfg.MaxMsgs, cfg.MaxMsgsPerSubject = 0, NoLimit, int64(history)
		},
	}
}

// bucketStreamPrefix is how JetStream names the stream of a bucket.
const bucketStreamPrefix = "KV_"
