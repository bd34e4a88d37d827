package brokertest

import (
	"bytes"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// client is a JetStream client, to meddle with what lies in the broker.
func (s *Server) client() (js jetstream.JetStream, done func()) {
	s.tb.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		s.tb.Fatal(err)
	}
	js, err = jetstream.New(nc)
	if err != nil {
		s.tb.Fatal(err)
	}
	return js, nc.Close
}

func (s *Server) record(js jetstream.JetStream, webhookID string) (jetstream.KeyValue, jetstream.KeyValueEntry) {
	s.tb.Helper()
	bucket, err := js.KeyValue(s.tb.Context(), "webhooks")
	if err != nil {
		s.tb.Fatal(err)
	}
	entry, err := bucket.Get(s.tb.Context(), "webhook."+webhookID)
	if err != nil {
		s.tb.Fatal(err)
	}
	return bucket, entry
}

// Record returns the text of a webhook's record.
func (s *Server) Record(webhookID string) string {
	s.tb.Helper()
	js, done := s.client()
	defer done()
	_, entry := s.record(js, webhookID)
	return string(entry.Value())
}

// SaveAsNewer saves a webhook's record once more as a newer version of Coinhook
// might: with keys that this one does not know, such as `"format":99`.
func (s *Server) SaveAsNewer(webhookID, keys string) {
	s.tb.Helper()
	js, done := s.client()
	defer done()
	bucket, entry := s.record(js, webhookID)
	value := bytes.Replace(entry.Value(), []byte(`"version":`), []byte(keys+`,"version":`), 1)
	if _, err := bucket.Update(s.tb.Context(), entry.Key(), value, entry.Revision()); err != nil {
		s.tb.Fatal(err)
	}
}

// PublishNewer stores a delivery as a newer version of Coinhook might: in a format
// of which this one knows the envelope.
func (s *Server) PublishNewer(id delivery.ID, webhookID string) {
	s.tb.Helper()
	js, done := s.client()
	defer done()
	// A batch of one delivery with the fields 1 and 2 of delivery.proto.
	d := append([]byte{0x0a, byte(len(id))}, id[:]...)
	d = append(append(d, 0x12, byte(len(webhookID))), webhookID...)
	msg := &nats.Msg{
		Subject: "coinhook.deliveries", Header: nats.Header{"Coinhook-Format": {"99"}},
		Data: append([]byte{0x0a, byte(len(d))}, d...),
	}
	if _, err := js.PublishMsg(s.tb.Context(), msg); err != nil {
		s.tb.Fatal(err)
	}
}

// MessageHeader returns one header of a message of the stream of deliveries.
func (s *Server) MessageHeader(sequence uint64, name string) string {
	s.tb.Helper()
	js, done := s.client()
	defer done()
	stream, err := js.Stream(s.tb.Context(), "DELIVERIES")
	if err != nil {
		s.tb.Fatal(err)
	}
	msg, err := stream.GetMsg(s.tb.Context(), sequence)
	if err != nil {
		s.tb.Fatal(err)
	}
	return strings.Join(msg.Header.Values(name), ", ")
}

// LosePartitions deletes the consumers of the partitions, as a restore of the stream
// alone does.
func (s *Server) LosePartitions() {
	s.tb.Helper()
	js, done := s.client()
	defer done()
	stream, err := js.Stream(s.tb.Context(), "DELIVERIES")
	if err != nil {
		s.tb.Fatal(err)
	}
	names := stream.ConsumerNames(s.tb.Context())
	for name := range names.Name() {
		if !strings.HasPrefix(name, "partition-") {
			continue
		}
		if err := js.DeleteConsumer(s.tb.Context(), "DELIVERIES", name); err != nil {
			s.tb.Fatal(err)
		}
	}
	if err := names.Err(); err != nil {
		s.tb.Fatal(err)
	}
}

// SaveWebhook saves any value under a webhook's key, as who may write to the bucket can.
func (s *Server) SaveWebhook(id string, value []byte) {
	s.tb.Helper()
	js, done := s.client()
	defer done()
	bucket, err := js.KeyValue(s.tb.Context(), "webhooks")
	if err != nil {
		s.tb.Fatal(err)
	}
	if _, err := bucket.Put(s.tb.Context(), "webhook."+id, value); err != nil {
		s.tb.Fatal(err)
	}
}
