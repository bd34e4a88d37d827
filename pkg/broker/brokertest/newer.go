package brokertest

import (
	"bytes"
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// withWebhooks meddles with what lies in the bucket of webhooks.
func (s *Server) withWebhooks(f func(ctx context.Context, bucket jetstream.KeyValue) error) {
	s.tb.Helper()
	s.withJetStream(func(ctx context.Context, js jetstream.JetStream) error {
		bucket, err := js.KeyValue(ctx, "webhooks")
		if err != nil {
			return err
		}
		return f(ctx, bucket)
	})
}

// Record returns the text of a webhook's record.
func (s *Server) Record(webhookID string) (text string) {
	s.tb.Helper()
	s.withWebhooks(func(ctx context.Context, bucket jetstream.KeyValue) error {
		entry, err := bucket.Get(ctx, "webhook."+webhookID)
		if err == nil {
			text = string(entry.Value())
		}
		return err
	})
	return text
}

// SaveAsNewer saves a webhook's record once more as a newer version of Coinhook
// might: with keys that this one does not know, such as `"format":99`.
func (s *Server) SaveAsNewer(webhookID, keys string) {
	s.tb.Helper()
	s.withWebhooks(func(ctx context.Context, bucket jetstream.KeyValue) error {
		entry, err := bucket.Get(ctx, "webhook."+webhookID)
		if err != nil {
			return err
		}
		value := bytes.Replace(entry.Value(), []byte(`"version":`), []byte(keys+`,"version":`), 1)
		_, err = bucket.Update(ctx, entry.Key(), value, entry.Revision())
		return err
	})
}

// SaveWebhook saves any value under a webhook's key, as who may write to the bucket can.
func (s *Server) SaveWebhook(id string, value []byte) {
	s.tb.Helper()
	s.withWebhooks(func(ctx context.Context, bucket jetstream.KeyValue) error {
		_, err := bucket.Put(ctx, "webhook."+id, value)
		return err
	})
}

// PublishNewer stores a delivery as a newer version of Coinhook might: in a format
// of which this one knows the envelope.
func (s *Server) PublishNewer(id delivery.ID, webhookID string) {
	s.tb.Helper()
	// A batch of one delivery with the fields 1 and 2 of delivery.proto.
	d := append([]byte{0x0a, byte(len(id))}, id[:]...)
	d = append(append(d, 0x12, byte(len(webhookID))), webhookID...)
	s.Forge(append([]byte{0x0a, byte(len(d))}, d...), map[string]string{"Coinhook-Format": "99"})
}

// LosePartitions deletes the consumers of the partitions, as a restore of the stream
// alone does.
func (s *Server) LosePartitions() {
	s.tb.Helper()
	for _, name := range s.PartitionConsumers() {
		s.DeleteConsumer("DELIVERIES", name)
	}
}
