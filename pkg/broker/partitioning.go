package broker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// DefaultPartitions is the number of a new installation.
	DefaultPartitions = 4
	// MaxPartitions bounds the number: the owner of each reads every message's header.
	MaxPartitions = 64
)

// PartitionTable is where PostgreSQL has the generations of partitions. Appliers take
// the partitions that are there.
type PartitionTable interface {
	// Generations returns them, the oldest first, and none where the table is missing.
	Generations(ctx context.Context) ([]delivery.Generation, error)
	// SaveGenerations makes the table say this, in one transaction.
	SaveGenerations(ctx context.Context, all []delivery.Generation) error
}

// partitioning is what there is of partitions: their consumers and the table. A setup
// writes both, and may end at any point in between. The next one goes on from there:
//
//  1. The table says which generations there are. Where it is empty, the oldest
//     generation that has consumers goes on.
//  2. A setup makes the consumers of a new generation first. Those of a generation that
//     is not in the table have no readers, and are deleted.
//  3. The consumer of a known generation that is missing begins where the audit is.
type partitioning struct {
	incarnation string
	last        uint64 // the newest message
	// legacy is the ack floor of the consumer that all appliers shared in the version
	// before, nil where there is none.
	legacy    *uint64
	consumers []*jetstream.ConsumerInfo
	hasTable  bool
	table     []delivery.Generation
}

// ofConsumers returns the generations that have consumers, the oldest first.
func (x *partitioning) ofConsumers() (all []delivery.Generation) {
	for _, info := range x.consumers {
		s := partitionState(info)
		if len(all) == 0 || all[len(all)-1].Number != s.Generation {
			all = append(all, delivery.Generation{
				Number: s.Generation, Count: s.Count, BeginsAfter: s.BeginsAfter, Incarnation: x.incarnation, Rows: s.Count,
			})
		}
	}
	return all
}

// wantedGeneration is a generation as it should be.
type wantedGeneration struct {
	delivery.Generation
	// isNew says that nothing of it was lost: its consumers begin where it begins.
	isNew bool
}

// wanted returns the generations as they should be, the oldest first. n is the number
// of partitions, or 0 for as many as there are.
func (x *partitioning) wanted(n int) (all []wantedGeneration) {
	for _, g := range x.table {
		all = append(all, wantedGeneration{Generation: g})
	}
	if len(all) == 0 {
		all = append(all, x.first(n))
	}
	newest := len(all) - 1
	for i := range all {
		g := &all[i].Generation
		switch {
		case i == newest:
			g.Ends, g.EndsAt, g.Finished = false, 0, false
			if g.Incarnation != x.incarnation {
				g.Incarnation, g.BeginsAfter = x.incarnation, 0
			}
		case g.Incarnation != x.incarnation:
			g.Finished = true // its messages are gone
		case !g.Ends:
			g.Ends, g.EndsAt = true, all[i+1].BeginsAfter
		}
	}
	if g := &all[newest].Generation; n > 0 && n != g.Count {
		g.Ends, g.EndsAt = true, x.last
		all = append(all, wantedGeneration{isNew: true, Generation: delivery.Generation{
			Number: g.Number + 1, Count: n, BeginsAfter: x.last, Incarnation: x.incarnation,
		}})
	}
	return all
}

// first returns the generation to begin with where the table is empty.
func (x *partitioning) first(n int) wantedGeneration {
	if there := x.ofConsumers(); len(there) > 0 {
		return wantedGeneration{Generation: there[0]}
	}
	if x.legacy != nil {
		return wantedGeneration{isNew: true, Generation: delivery.Generation{
			Number: 1, Count: 1, BeginsAfter: *x.legacy, Incarnation: x.incarnation,
		}}
	}
	if n == 0 {
		n = DefaultPartitions
	}
	return wantedGeneration{Generation: delivery.Generation{Number: 1, Count: n, Incarnation: x.incarnation}}
}

// newConsumer is the consumer of a partition to make. One that is lost begins where
// the audit is, others where their generation begins.
type newConsumer struct {
	delivery.Partition
	beginsAfter uint64
	lost        bool
}

// partitionPlan is what a setup does, in this order.
type partitionPlan struct {
	discard []string // consumers that nobody reads, or that are unfit
	create  []newConsumer
	update  []jetstream.ConsumerConfig
	retire  bool                  // delete the consumer of the version before
	save    []delivery.Generation // nil where the table says so already
	remove  []string              // consumers of finished generations

	differences []Difference
	risks       []string
}

func (p *partitionPlan) differ(where, what string, is, should any) {
	p.differences = append(p.differences, Difference{Where: where, What: what, Is: fmt.Sprint(is), Should: fmt.Sprint(should)})
}

// plan compares what there is with what should be.
func (x *partitioning) plan(n int) *partitionPlan {
	p := &partitionPlan{retire: x.legacy != nil}
	unknown := map[string]*jetstream.ConsumerInfo{}
	for _, info := range x.consumers {
		unknown[info.Name] = info
	}
	all := x.wanted(n)
	for _, g := range all {
		for index := range g.Count {
			partition := g.Partition(index)
			info := unknown[partition.Name()]
			delete(unknown, partition.Name())
			switch {
			case !g.Finished:
				p.consumer(partition, g, info)
			case info != nil:
				p.remove = append(p.remove, info.Name)
				p.differ("consumer "+info.Name, "it", "there", "deleted")
			}
		}
	}
	for _, info := range x.consumers {
		if unknown[info.Name] != nil {
			p.unknown(info)
		}
	}
	if p.retire {
		p.differ("consumer "+applierConsumer, "it", "there", "deleted")
		p.risks = append(p.risks, "Partitions replace the consumer "+applierConsumer+
			": appliers of the version before settle nothing from then on. Update them right after.")
	}
	if x.hasTable {
		p.compareTable(x.table, all)
	}
	return p
}

// consumer plans the consumer of a partition, which is nil where it is missing.
func (p *partitionPlan) consumer(partition delivery.Partition, g wantedGeneration, info *jetstream.ConsumerInfo) {
	title, is := "consumer "+partition.Name(), "missing"
	if info != nil {
		want := info.Config
		fitPartition(&want)
		if have, _ := partitionOf(info); have == partition && want.AckPolicy == jetstream.AckAllPolicy {
			if differences := compareConsumers(title, info.Config, want); len(differences) > 0 {
				p.differences = append(p.differences, differences...)
				p.update = append(p.update, want)
			}
			return
		}
		// Neither can be changed, and its floor is that of other deliveries.
		is = "of other partitions, or with other acks"
		p.discard = append(p.discard, info.Name)
	}
	p.differ(title, "it", is, "there")
	p.create = append(p.create, newConsumer{Partition: partition, beginsAfter: g.BeginsAfter, lost: !g.isNew})
}

// unknown plans the end of a consumer whose generation nobody knows.
func (p *partitionPlan) unknown(info *jetstream.ConsumerInfo) {
	p.discard = append(p.discard, info.Name)
	p.differ("consumer "+info.Name, "it", "of a generation that PostgreSQL does not know", "deleted")
	if info.Delivered.Consumer > 0 {
		p.risks = append(p.risks, fmt.Sprintf("Appliers have read the consumer %s, and PostgreSQL does not know its generation. "+
			"See that DATABASE_URL is the database of these streams: the consumer is deleted.", info.Name))
	}
}

// compareTable lists what the table should say.
func (p *partitionPlan) compareTable(have []delivery.Generation, want []wantedGeneration) {
	before := len(p.differences)
	all := make([]delivery.Generation, len(want))
	for i, g := range want {
		all[i] = g.Generation
		title := fmt.Sprintf("partitions of generation %d", g.Number)
		if i >= len(have) {
			p.differ(title, "rows", 0, g.Count)
			continue
		}
		p.differences = append(p.differences, compare(title,
			property{"rows", have[i].Rows, g.Count},
			property{"incarnation", have[i].Incarnation, g.Incarnation},
			property{"begins_after", have[i].BeginsAfter, g.BeginsAfter},
			property{"ends_at", endOf(have[i]), endOf(g.Generation)},
			property{"finished", have[i].Finished, g.Finished},
		)...)
	}
	if len(p.differences) > before {
		p.save = all
	}
}

func endOf(g delivery.Generation) string {
	if !g.Ends {
		return "open"
	}
	return strconv.FormatUint(g.EndsAt, 10)
}
