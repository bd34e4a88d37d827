package broker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestSettlingIsBehindWhileMoreWaitsThanASecondSettles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		floors []uint64 // of partition 0, a second apart; the other one is at the end
		last   uint64
		behind bool
	}{
		"nothing waits":                          {[]uint64{1000, 2000}, 2000, false},
		"a fraction of a second":                 {[]uint64{1000, 2000}, 2900, false},
		"more than a second":                     {[]uint64{1000, 2000}, 3100, true},
		"few messages, however slow they are":    {[]uint64{1000, 1001}, 1060, false},
		"the partition stands still":             {[]uint64{1000, 1000}, 9000, false},
		"it has stood still and goes on":         {[]uint64{1000, 1000, 1500}, 9000, true},
		"it has caught up":                       {[]uint64{1000, 2000, 9000}, 9000, false},
		"nothing is known before the first look": {[]uint64{1000}, 9000, false},
		"the consumer is reset to its ack floor": {[]uint64{1000, 900}, 9000, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin, looks := time.Now(), 0
				load := broker.Load{Pending: func(context.Context) (broker.Pending, error) {
					floor := tc.floors[looks]
					looks++
					return broker.Pending{
						Extent: broker.Extent{First: floor + 1, Last: tc.last}, At: begin.Add(time.Since(begin)), Incarnation: "one",
						Partitions: []broker.PartitionState{
							{Partition: delivery.Partition{Generation: 1, Index: 0, Count: 2}, Floor: floor},
							{Partition: delivery.Partition{Generation: 1, Index: 1, Count: 2}, Floor: tc.last},
						},
					}, nil
				}}
				var behind bool
				for range tc.floors {
					for range 3 { // the broker is asked once
						behind = load.Behind(t.Context())
					}
					time.Sleep(time.Second)
				}
				if behind != tc.behind || looks != len(tc.floors) {
					t.Errorf("behind: %t after %d looks, want %t after %d", behind, looks, tc.behind, len(tc.floors))
				}
			})
		})
	}
}

func TestABrokerThatIsAwayHoldsUpNothing(t *testing.T) {
	t.Parallel()
	load := broker.Load{Pending: func(context.Context) (broker.Pending, error) { return broker.Pending{}, errors.New("away") }}
	if load.Behind(t.Context()) {
		t.Error("it would have others wait")
	}
}
