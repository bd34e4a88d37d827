package broker

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/coinhook/coinhook/proto/deliverypb"
)

// A message may hold any number as a time. The tables take four digits of a year.
func TestATimeThatNoProgramWritesIsWhenItWasStored(t *testing.T) {
	t.Parallel()
	stored := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	sane := stored.Add(-time.Minute)
	for us, want := range map[int64]time.Time{
		sane.UnixMicro(): sane, math.MaxInt64: stored, math.MinInt64: stored,
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro():  stored,
		time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMicro(): time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	} {
		data, err := proto.Marshal(&deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{{
			Id: make([]byte, 16), ReceivedAtUs: us,
			Replay: &deliverypb.Replay{Id: make([]byte, 16), RequestedAtUs: us}, First: &deliverypb.Place{StoredAtUs: us},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		d := decodeBatch(data, 1, stored, 0)[0]
		if !d.ReceivedAt.Equal(want) || !d.Replay.RequestedAt.Equal(want) {
			t.Errorf("%d: received at %v, asked for at %v, want %v", us, d.ReceivedAt, d.Replay.RequestedAt, want)
		}
		if at := d.First.StoredAt; at.Year() < 1 || at.Year() > 9999 {
			t.Errorf("%d: its first place was stored at %v", us, at)
		}
	}
}
