package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestWhatAnErrorSaysOfTheMessage(t *testing.T) {
	t.Parallel()
	api := func(code int, errorCode jetstream.ErrorCode, words string) error {
		return fmt.Errorf("nats: %w", &jetstream.APIError{Code: code, ErrorCode: errorCode, Description: words})
	}
	for _, test := range []struct {
		err  error
		want result
	}{
		{nil, confirmed},
		{context.DeadlineExceeded, unknown},
		{nats.ErrDisconnected, unknown},
		{errors.New("anything else"), unknown},
		{api(409, 10158, "duplicate message id is in process"), unknown},
		{api(503, 10077, "no space left on device"), unknown},
		{api(503, 10077, "maximum bytes exceeded"), refused},
		{api(400, 10054, "message size exceeds maximum allowed"), refused},
		{api(400, 10060, "expected stream does not match"), refused},
		{nats.ErrMaxPayload, refused},
		{api(429, 10167, "too many requests"), notStored},
		{api(503, 10023, "insufficient resources"), notStored},
		{api(503, 10008, "JetStream system temporarily unavailable"), notStored},
		{api(500, 10009, "JetStream cluster can not handle request"), notStored},
		{jetstream.ErrNoStreamResponse, notStored},
		{nats.ErrReconnectBufExceeded, notStored},
		{ErrNotConnected, notStored},
	} {
		if got := resultOf(test.err); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}
