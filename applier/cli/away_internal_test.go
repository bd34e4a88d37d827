package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/broker"
)

// A time that has passed says nothing to people: which server did not answer does.
func TestAnErrorNamesTheServerThatIsSlow(t *testing.T) {
	t.Parallel()
	conn, err := broker.Connect(broker.Options{URL: "nats://127.0.0.1:1", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	a := &app{conn: conn}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("read the webhook: %w", context.DeadlineExceeded), "NATS does not answer, its servers may be electing a leader, try again: read the webhook: "},
		{fmt.Errorf("read the webhook: %w", broker.ErrNotConnected), "read the webhook: not connected to NATS"},
		{fmt.Errorf("write: %w: %w", applier.ErrSilent, context.DeadlineExceeded), "write: PostgreSQL does not answer: context deadline exceeded: try again in a moment"},
	} {
		if got := a.withObjection(a.whoIsAway(tc.err)).Error(); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
