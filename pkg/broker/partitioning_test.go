package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// table is a PartitionTable in memory.
type table struct{ all []delivery.Generation }

func (t *table) Generations(context.Context) ([]delivery.Generation, error) {
	return slices.Clone(t.all), nil
}

func (t *table) SaveGenerations(_ context.Context, all []delivery.Generation) error {
	t.all = slices.Clone(all)
	for i := range t.all {
		t.all[i].Rows = t.all[i].Count
	}
	return nil
}

// partitioned is a server with a table.
type partitioned struct {
	tb     testing.TB
	server *brokertest.Server
	conn   *broker.Conn
	js     jetstream.JetStream
	table  table
}

func newPartitioned(tb testing.TB) *partitioned {
	server := brokertest.Start(tb)
	return &partitioned{tb: tb, server: server, conn: server.Connect(), js: openJetStream(tb, server.URL())}
}

func (w *partitioned) topology(n int) broker.Topology {
	return broker.Topology{Partitions: n, Table: &w.table}
}

func (w *partitioned) setup(t broker.Topology) {
	w.tb.Helper()
	if err := w.conn.Setup(w.tb.Context(), t); err != nil {
		w.tb.Fatal(err)
	}
	if got := differences(w.tb, w.conn, broker.Topology{Table: &w.table}); got != nil {
		w.tb.Errorf("after a setup differ %q", got)
	}
}

// is compares consumers and table with what they should be. A consumer is written as
// name, the message that it begins behind, and the ack floor.
func (w *partitioned) is(consumers []string, generations ...delivery.Generation) {
	w.tb.Helper()
	var got []string
	for _, s := range partitionStates(w.tb, w.conn) {
		got = append(got, fmt.Sprintf("%s of %d behind %d at %d", s.Name(), s.Count, s.BeginsAfter, s.Floor))
	}
	if _, err := w.js.Consumer(w.tb.Context(), "DELIVERIES", "applier"); err == nil {
		got = append(got, "applier")
	}
	if diff := cmp.Diff(consumers, got); diff != "" {
		w.tb.Errorf("consumers: %s", diff)
	}
	incarnation, err := w.conn.Incarnation(w.tb.Context())
	if err != nil {
		w.tb.Fatal(err)
	}
	for i := range generations {
		generations[i].Rows = generations[i].Count
		if generations[i].Incarnation == "" {
			generations[i].Incarnation = incarnation
		}
	}
	if diff := cmp.Diff(generations, w.table.all, cmpopts.EquateEmpty()); diff != "" {
		w.tb.Errorf("the table: %s", diff)
	}
}

// settle acks a partition's messages up to one.
func (w *partitioned) settle(consumer string, sequence uint64) {
	w.tb.Helper()
	c, err := w.js.Consumer(w.tb.Context(), "DELIVERIES", consumer)
	if err != nil {
		w.tb.Fatal(err)
	}
	for {
		msg, err := c.Next()
		if err != nil {
			w.tb.Fatal(err)
		}
		meta, err := msg.Metadata()
		if err == nil {
			err = msg.DoubleAck(w.tb.Context())
		}
		if err != nil {
			w.tb.Fatal(err)
		}
		if meta.Sequence.Stream >= sequence {
			return
		}
	}
}

func (w *partitioned) publish(bodies ...string) {
	w.tb.Helper()
	publishBodies(w.tb, w.conn, bodies...)
}

func (w *partitioned) deleteConsumer(name string) {
	w.tb.Helper()
	if err := w.js.DeleteConsumer(w.tb.Context(), "DELIVERIES", name); err != nil {
		w.tb.Fatal(err)
	}
}

// old sets up what the version before has.
func (w *partitioned) old() {
	w.tb.Helper()
	if err := w.conn.Setup(w.tb.Context(), broker.Topology{}); err != nil {
		w.tb.Fatal(err)
	}
	w.server.BeforePartitions()
}

func TestPartitionsOfANewInstallation(t *testing.T) {
	t.Parallel()
	w := newPartitioned(t)
	w.setup(w.topology(2))
	w.is([]string{"partition-1-0 of 2 behind 0 at 0", "partition-1-1 of 2 behind 0 at 0"}, delivery.Generation{Number: 1, Count: 2})
	w.setup(w.topology(0)) // leaves the number
	w.is([]string{"partition-1-0 of 2 behind 0 at 0", "partition-1-1 of 2 behind 0 at 0"}, delivery.Generation{Number: 1, Count: 2})
	cfg, err := w.js.Consumer(t.Context(), "DELIVERIES", "partition-1-0")
	if err != nil {
		t.Fatal(err)
	}
	limited := cfg.CachedInfo().Config
	limited.MaxDeliver, limited.MaxAckPending = 3, 5
	if _, err := w.js.UpdateConsumer(t.Context(), "DELIVERIES", limited); err != nil {
		t.Fatal(err)
	}
	w.table.all[0].Rows = 1
	want := []string{
		"consumer partition-1-0: max_deliver is 3, should be -1",
		"consumer partition-1-0: max_ack_pending is 5, should be -1",
		"partitions of generation 1: rows is 1, should be 2",
	}
	if diff := cmp.Diff(want, differences(t, w.conn, w.topology(0))); diff != "" {
		t.Error(diff)
	}
	w.setup(w.topology(0))
}

// A change of the number begins behind the newest message, and the generation before
// ends there.
func TestAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	w := newPartitioned(t)
	w.setup(w.topology(1))
	w.publish("1", "2", "3")
	w.settle("partition-1-0", 1)
	w.setup(w.topology(2))
	first := delivery.Generation{Number: 1, Count: 1, Ends: true, EndsAt: 3}
	w.is([]string{"partition-1-0 of 1 behind 0 at 1", "partition-2-0 of 2 behind 3 at 3", "partition-2-1 of 2 behind 3 at 3"},
		first, delivery.Generation{Number: 2, Count: 2, BeginsAfter: 3})
	w.publish("4")
	w.setup(w.topology(1)) // before the first generation is finished
	second := delivery.Generation{Number: 2, Count: 2, BeginsAfter: 3, Ends: true, EndsAt: 4}
	third := delivery.Generation{Number: 3, Count: 1, BeginsAfter: 4}
	w.is([]string{"partition-1-0 of 1 behind 0 at 1", "partition-2-0 of 2 behind 3 at 3", "partition-2-1 of 2 behind 3 at 3", "partition-3-0 of 1 behind 4 at 4"},
		first, second, third)
	w.table.all[0].Finished, w.table.all[1].Finished = true, true
	first.Finished, second.Finished = true, true
	w.setup(w.topology(1))
	w.is([]string{"partition-3-0 of 1 behind 4 at 4"}, first, second, third)
}

// The consumer of the version before becomes the only partition, at its ack floor.
func TestPartitionsOfAnOlderInstallation(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		n           int
		consumers   []string
		generations []delivery.Generation
	}{
		"as one": {1, []string{"partition-1-0 of 1 behind 2 at 2"}, []delivery.Generation{{Number: 1, Count: 1, BeginsAfter: 2}}},
		"as many": {2, []string{"partition-1-0 of 1 behind 2 at 2", "partition-2-0 of 2 behind 3 at 3", "partition-2-1 of 2 behind 3 at 3"}, []delivery.Generation{
			{Number: 1, Count: 1, BeginsAfter: 2, Ends: true, EndsAt: 3}, {Number: 2, Count: 2, BeginsAfter: 3},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newPartitioned(t)
			w.old()
			w.publish("1", "2", "3")
			w.settle("applier", 2)
			plan, err := w.conn.PlanSetup(t.Context(), w.topology(tc.n))
			if err != nil {
				t.Fatal(err)
			}
			if len(plan.Risks) != 1 || !strings.Contains(plan.Risks[0], "appliers of the version before settle nothing") {
				t.Errorf("the risks are %q", plan.Risks)
			}
			w.setup(w.topology(tc.n))
			w.is(tc.consumers, tc.generations...)
		})
	}
}

func TestLostPartitionsBeginWhereTheAuditIs(t *testing.T) {
	t.Parallel()
	w := newPartitioned(t)
	w.setup(w.topology(1))
	w.publish("1", "2", "3", "4")
	w.setup(w.topology(2))
	w.deleteConsumer("partition-1-0")
	w.deleteConsumer("partition-2-1")
	audited := w.topology(0)
	audited.Audited = func(context.Context, string, *broker.Stream) (uint64, error) { return 2, nil }
	w.setup(audited)
	w.is([]string{"partition-1-0 of 1 behind 0 at 2", "partition-2-0 of 2 behind 4 at 4", "partition-2-1 of 2 behind 4 at 2"},
		delivery.Generation{Number: 1, Count: 1, Ends: true, EndsAt: 4}, delivery.Generation{Number: 2, Count: 2, BeginsAfter: 4})
}

// A stream that was made again has nothing of what the generations were about.
func TestPartitionsOfAnotherStream(t *testing.T) {
	t.Parallel()
	w := newPartitioned(t)
	w.setup(w.topology(1))
	w.publish("1", "2")
	w.setup(w.topology(2))
	before, err := w.conn.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.js.DeleteStream(t.Context(), "DELIVERIES"); err != nil {
		t.Fatal(err)
	}
	w.setup(w.topology(0))
	w.is([]string{"partition-2-0 of 2 behind 0 at 0", "partition-2-1 of 2 behind 0 at 0"},
		delivery.Generation{Number: 1, Count: 1, Ends: true, EndsAt: 2, Incarnation: before, Finished: true},
		delivery.Generation{Number: 2, Count: 2})
}

// A database that was restored, or is another one, does not know of the newest
// generation. What was read of it is read again.
func TestPartitionsThatTheTableDoesNotKnow(t *testing.T) {
	t.Parallel()

	t.Run("because it is older", func(t *testing.T) {
		t.Parallel()
		w := newPartitioned(t)
		w.setup(w.topology(1))
		older := slices.Clone(w.table.all)
		w.publish("1", "2")
		w.setup(w.topology(2))
		w.settle("partition-1-0", 2)
		w.table.all[0].Finished = true
		w.setup(w.topology(2))
		w.publish("3")
		w.settle("partition-2-0", 3)
		w.table.all = older
		plan, err := w.conn.PlanSetup(t.Context(), w.topology(0))
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Risks) != 1 || !strings.Contains(plan.Risks[0], "partition-2-0") || !strings.Contains(plan.Risks[0], "DATABASE_URL") {
			t.Errorf("the risks are %q", plan.Risks)
		}
		w.setup(w.topology(0))
		w.is([]string{"partition-1-0 of 1 behind 0 at 0"}, delivery.Generation{Number: 1, Count: 1})
	})

	t.Run("because it is empty", func(t *testing.T) {
		t.Parallel()
		w := newPartitioned(t)
		w.setup(w.topology(1))
		w.publish("1", "2")
		w.settle("partition-1-0", 1)
		w.setup(w.topology(2))
		w.table.all = nil
		w.setup(w.topology(0))
		w.is([]string{"partition-1-0 of 1 behind 0 at 1"}, delivery.Generation{Number: 1, Count: 1})
	})
}

// A consumer of that name that is for other partitions has a floor that means nothing.
func TestAnUnfitPartitionIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newPartitioned(t)
	w.setup(w.topology(2))
	w.publish("1")
	w.deleteConsumer("partition-1-0")
	w.deleteConsumer("partition-1-1")
	addConsumer(t, w.js, delivery.Partition{Generation: 1, Index: 0, Count: 3}, 0, 1)
	if _, err := w.js.CreateConsumer(t.Context(), "DELIVERIES", jetstream.ConsumerConfig{
		Durable: "partition-1-1", AckPolicy: jetstream.AckExplicitPolicy, Metadata: map[string]string{
			"coinhook_generation": "1", "coinhook_partition": "1", "coinhook_partitions": "2",
		},
	}); err != nil {
		t.Fatal(err)
	}
	w.setup(w.topology(0))
	w.is([]string{"partition-1-0 of 2 behind 0 at 0", "partition-1-1 of 2 behind 0 at 0"}, delivery.Generation{Number: 1, Count: 2})
}

// Wherever a setup ends early, running it again mends it.
func TestASetupThatEndedEarly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before func(w *partitioned) // what is there
		n      int
		want   func(w *partitioned)
	}{
		"of a new installation": {
			func(w *partitioned) {
				w.old()
				w.deleteConsumer("applier")
			}, 3,
			func(w *partitioned) {
				w.is([]string{"partition-1-0 of 3 behind 0 at 0", "partition-1-1 of 3 behind 0 at 0", "partition-1-2 of 3 behind 0 at 0"},
					delivery.Generation{Number: 1, Count: 3})
			},
		},
		"of an older installation": {
			func(w *partitioned) {
				w.old()
				w.publish("1", "2", "3")
				w.settle("applier", 2)
			}, 2,
			func(w *partitioned) {
				w.is([]string{"partition-1-0 of 1 behind 2 at 2", "partition-2-0 of 2 behind 3 at 3", "partition-2-1 of 2 behind 3 at 3"},
					delivery.Generation{Number: 1, Count: 1, BeginsAfter: 2, Ends: true, EndsAt: 3},
					delivery.Generation{Number: 2, Count: 2, BeginsAfter: 3})
			},
		},
		"of another number": {
			func(w *partitioned) {
				w.setup(w.topology(1))
				w.publish("1")
				w.setup(w.topology(2))
				w.table.all[0].Finished = true
				w.publish("2")
			}, 3,
			func(w *partitioned) {
				w.is([]string{
					"partition-2-0 of 2 behind 1 at 1", "partition-2-1 of 2 behind 1 at 1",
					"partition-3-0 of 3 behind 2 at 2", "partition-3-1 of 3 behind 2 at 2", "partition-3-2 of 3 behind 2 at 2",
				},
					delivery.Generation{Number: 1, Count: 1, Ends: true, EndsAt: 1, Finished: true},
					delivery.Generation{Number: 2, Count: 2, BeginsAfter: 1, Ends: true, EndsAt: 2},
					delivery.Generation{Number: 3, Count: 3, BeginsAfter: 2})
			},
		},
		"of another stream": {
			func(w *partitioned) {
				w.setup(w.topology(1))
				w.publish("1")
				w.setup(w.topology(2))
				if err := w.js.DeleteStream(w.tb.Context(), "DELIVERIES"); err != nil {
					w.tb.Fatal(err)
				}
				w.table.all[0].Incarnation, w.table.all[1].Incarnation = "gone", "gone"
				w.old()
				w.deleteConsumer("applier")
			}, 3,
			func(w *partitioned) {
				w.is([]string{
					"partition-2-0 of 2 behind 0 at 0", "partition-2-1 of 2 behind 0 at 0",
					"partition-3-0 of 3 behind 0 at 0", "partition-3-1 of 3 behind 0 at 0", "partition-3-2 of 3 behind 0 at 0",
				},
					delivery.Generation{Number: 1, Count: 1, Ends: true, EndsAt: 1, Incarnation: "gone", Finished: true},
					delivery.Generation{Number: 2, Count: 2, Ends: true},
					delivery.Generation{Number: 3, Count: 3})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for crash := 0; crash == 0 || crash < points; crash++ {
				w := newPartitioned(t)
				tc.before(w)
				steps, err := w.conn.PartitionSteps(t.Context(), w.topology(tc.n))
				if err != nil {
					t.Fatal(err)
				}
				points = len(steps) + 1
				for _, step := range steps[:crash] {
					if err := step(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				w.setup(w.topology(tc.n))
				if tc.want(w); t.Failed() {
					t.Fatalf("after an end behind step %d of %d", crash, len(steps))
				}
			}
			if points < 4 {
				t.Errorf("a setup has %d points only", points)
			}
		})
	}
}

// Copies of a partition's consumer follow those of the stream.
func TestPartitionsHaveTheCopiesOfTheStream(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	conn, js := cluster.Connect(), openJetStream(t, cluster.URL())
	copies := func() int {
		t.Helper()
		c, err := js.Consumer(t.Context(), "DELIVERIES", "partition-1-0")
		if err != nil {
			t.Fatal(err)
		}
		info, err := c.Info(t.Context())
		if err != nil || info.Cluster == nil {
			return 0
		}
		return len(info.Cluster.Replicas) + 1
	}
	for _, n := range []int{1, 3} {
		if err := conn.Setup(t.Context(), broker.Topology{Partitions: 1, Replicas: n}); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, fmt.Sprintf("there are %d copies", n), func() bool { return copies() == n })
	}
}
