package brokertest

import (
	"bytes"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
// might: with keys that this one does not know, such as `"format":2`.
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
