package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// What is not there any more, or never was, is not waited for.
func TestEachEndsWithTheStream(t *testing.T) {
	t.Parallel()
	const messages = 600 // more than are on their way at once
	for name, tc := range map[string]struct {
		extent broker.Extent
		remove uint64 // up to here, once the first message is read
		last   uint64 // that is read, 0 if that depends on what was on its way
	}{
		"all is there":                 {broker.Extent{First: 1, Last: messages}, 0, messages},
		"the stream is shorter":        {broker.Extent{First: messages - 1, Last: messages + 10}, 0, messages},
		"it never had any of it":       {broker.Extent{First: messages + 1, Last: messages + 10}, 0, 0},
		"all was removed":              {broker.Extent{First: 1, Last: messages}, messages, 0},
		"all that is left was removed": {broker.Extent{First: 1, Last: messages - 10}, messages - 5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := brokertest.Start(t).ConnectSetUp()
			publisher := startPublisher(t, conn)
			for range messages {
				if err := publisher.Publish(t.Context(), newDelivery(t, "{}")); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			stream, err := conn.OpenStream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var last uint64
			err = stream.Each(ctx, tc.extent, func(m broker.Message) error {
				if last == 0 && tc.remove > 0 {
					if err := stream.RemoveTo(ctx, tc.remove); err != nil {
						return err
					}
				}
				last = m.Sequence
				return nil
			})
			if err != nil || tc.remove == 0 && last != tc.last || tc.remove > 0 && last >= tc.extent.Last {
				t.Errorf("the last one is %d, want %d: %v", last, tc.last, err)
			}
		})
	}
}
