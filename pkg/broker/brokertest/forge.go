package brokertest

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	msg := nats.NewMsg("coinhook.deliveries")
	msg.Data = data
	for name, value := range headers {
		msg.Header.Set(name, value)
	}
	s.withJetStream(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.PublishMsg(ctx, msg)
		return err
	})
}

// Data returns a message of the stream of deliveries as it was stored.
func (s *Server) Data(sequence uint64) []byte {
	s.tb.Helper()
	return s.message(sequence).Data
}

// MessageHeader returns one header of a message of the stream of deliveries.
func (s *Server) MessageHeader(sequence uint64, name string) string {
	s.tb.Helper()
	return strings.Join(s.message(sequence).Header.Values(name), ", ")
}

func (s *Server) message(sequence uint64) (msg *jetstream.RawStreamMsg) {
	s.tb.Helper()
	s.withJetStream(func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, "DELIVERIES")
		if err == nil {
			msg, err = stream.GetMsg(ctx, sequence)
		}
		return err
	})
	return msg
}
