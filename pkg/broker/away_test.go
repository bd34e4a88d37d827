package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/broker"
)

func TestAnErrorSaysThatNATSIsAway(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err   error
		named bool
	}{
		{context.DeadlineExceeded, true},
		{nats.ErrTimeout, true},
		{fmt.Errorf("%w: %w", broker.ErrNotConnected, context.DeadlineExceeded), false}, // it says so
		{fmt.Errorf("%w: %w", broker.ErrSilent, context.DeadlineExceeded), false},
		{broker.ErrWebhookNotFound, false},
		{context.Canceled, false},
	} {
		got := broker.NameAway(fmt.Errorf("read: %w", tc.err))
		if !errors.Is(got, tc.err) || errors.Is(got, broker.ErrSilent) != (tc.named || errors.Is(tc.err, broker.ErrSilent)) || tc.named == (got.Error() == "read: "+tc.err.Error()) {
			t.Errorf("%v becomes %v", tc.err, got)
		}
	}
	if broker.NameAway(nil) != nil {
		t.Error("no error becomes one")
	}
}
