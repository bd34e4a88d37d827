package brokertest

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/secret"
)

// DeliveryKeys are keys of deliveries, each made of a letter.
func DeliveryKeys(tb testing.TB, letters ...string) secret.DeliveryKeys {
	tb.Helper()
	texts := make([]string, len(letters))
	for i, letter := range letters {
		texts[i] = strings.Repeat(letter, 42) + "A="
	}
	keys, err := secret.ParseDeliveryKeys(strings.Join(texts, ","))
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// Forge stores a message in the stream of deliveries, as anybody can who reaches the
// broker.
func (s *Server) Forge(data []byte, headers map[string]string) {
	s.tb.Helper()
	js, done := s.client()
	defer done()
	msg := nats.NewMsg("coinhook.deliveries")
	msg.Data = data
	for name, value := range headers {
		msg.Header.Set(name, value)
	}
	if _, err := js.PublishMsg(s.tb.Context(), msg); err != nil {
		s.tb.Fatal(err)
	}
}

// Data returns a message of the stream of deliveries as it was stored.
func (s *Server) Data(sequence uint64) []byte {
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
	return msg.Data
}
