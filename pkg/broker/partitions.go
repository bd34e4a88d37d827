package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// readerPrefix begins the names of the consumers through which owners read partitions.
const readerPrefix = "reading-"

// The metadata of a partition's consumer.
const (
	generationKey  = "coinhook_generation"
	partitionKey   = "coinhook_partition"
	partitionsKey  = "coinhook_partitions"
	beginsAfterKey = "coinhook_begins_after"
)

// PartitionState is what the broker knows of one partition.
type PartitionState struct {
	delivery.Partition
	// BeginsAfter is the last message before its generation. Messages up to there
	// belong to the previous generation.
	BeginsAfter uint64
	// Floor is the message up to which every delivery of the partition has a row, an
	// outcome or a parked one. A partition that has settled nothing yet is at the
	// message before its first.
	Floor uint64
	// Delivered is the newest message that its owner was given, and AckPending how many
	// messages there are from the floor to it.
	Delivered  uint64
	AckPending int
	// Waiting is how many pulls wait for messages: none where nobody owns it.
	Waiting int
	// DeliveredAt is when its owner was last given a message. Zero: not since it began
	// to read.
	DeliveredAt time.Time
	// At is the broker's time.
	At time.Time
}

// partitions returns the partitions that have a consumer, the oldest generation first.
func (s *Stream) partitions(ctx context.Context) ([]PartitionState, error) {
	durables, readers, err := s.partitionConsumers(ctx)
	if err != nil {
		return nil, err
	}
	states := make([]PartitionState, len(durables))
	for i, info := range durables {
		states[i] = partitionState(info)
		for _, reader := range readers {
			if strings.HasPrefix(reader.Name, readerPrefix+info.Name+"-") {
				states[i].add(reader)
			}
		}
	}
	return states, nil
}

// add takes over what a reader of the partition tells.
func (s *PartitionState) add(reader *jetstream.ConsumerInfo) {
	s.Delivered = max(s.Delivered, reader.Delivered.Stream)
	s.AckPending = int(s.Delivered - s.Floor) // Delivered is not lower
	s.Waiting += reader.NumWaiting
	s.DeliveredAt = lastOf(&s.DeliveredAt, reader.Delivered.Last)
}

// askAtOnce is how many consumers are asked for at the same time.
const askAtOnce = 8

// partitionConsumers returns the durable consumers of partitions, the oldest generation
// first, and the consumers through which owners read them.
//
// Do not use ListConsumers: the server leaves out a consumer that has no leader, and
// nats.go asks for the rest of the list until its context ends. The names are
// complete, and a consumer without a leader is an error.
func (s *Stream) partitionConsumers(ctx context.Context) (durables, readers []*jetstream.ConsumerInfo, err error) {
	names, err := patiently(ctx, electionWithin, s.partitionNames)
	if err != nil {
		return nil, nil, fmt.Errorf("list the consumers of the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	infos := make([]*jetstream.ConsumerInfo, len(names))
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(askAtOnce)
	for i, name := range names {
		asking.Go(func() error {
			within := electionWithin
			if strings.HasPrefix(name, readerPrefix) {
				within = 2 * answerSoon // its only server may have ended
			}
			consumer, err := patiently(ctx, within, func(ctx context.Context) (jetstream.Consumer, error) {
				return s.stream.Consumer(ctx, name)
			})
			if errors.Is(err, jetstream.ErrConsumerNotFound) || err != nil && strings.HasPrefix(name, readerPrefix) {
				return nil // deleted since, or with a server that has ended
			}
			if err != nil {
				return fmt.Errorf("read the consumer %s: %w", name, notSetUp(err))
			}
			infos[i] = consumer.CachedInfo()
			return nil
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, nil, err
	}
	for _, info := range infos {
		if info == nil {
			continue
		}
		if strings.HasPrefix(info.Name, readerPrefix) {
			readers = append(readers, info)
		} else if _, ok := partitionOf(info); ok {
			durables = append(durables, info)
		}
	}
	slices.SortFunc(durables, func(a, b *jetstream.ConsumerInfo) int {
		p, _ := partitionOf(a)
		q, _ := partitionOf(b)
		return cmp.Or(cmp.Compare(p.Generation, q.Generation), cmp.Compare(p.Index, q.Index))
	})
	return durables, readers, nil
}

// partitionNames are those of the consumers of partitions and of their readers.
func (s *Stream) partitionNames(ctx context.Context) (names []string, err error) {
	lister := s.stream.ConsumerNames(ctx)
	for name := range lister.Name() {
		if isPartitionName(name) || strings.HasPrefix(name, readerPrefix) {
			names = append(names, name)
		}
	}
	return names, lister.Err()
}

func isPartitionName(name string) bool {
	var generation, index int
	n, err := fmt.Sscanf(name, "partition-%d-%d", &generation, &index)
	return n == 2 && err == nil
}

// partitionOf returns the partition whose consumer it is, by its metadata.
func partitionOf(info *jetstream.ConsumerInfo) (p delivery.Partition, ok bool) {
	for _, x := range []struct {
		key string
		to  *int
	}{{generationKey, &p.Generation}, {partitionKey, &p.Index}, {partitionsKey, &p.Count}} {
		n, err := strconv.Atoi(info.Config.Metadata[x.key])
		if err != nil {
			return p, false
		}
		*x.to = n
	}
	return p, p.Name() == info.Name
}

func partitionState(info *jetstream.ConsumerInfo) PartitionState {
	p, _ := partitionOf(info)
	begins, _ := strconv.ParseUint(info.Config.Metadata[beginsAfterKey], 10, 64)
	floor := info.AckFloor.Stream
	if start := info.Config.OptStartSeq; start > 0 {
		floor = max(floor, start-1) // a cluster says 0 before the first ack
	}
	return PartitionState{
		Partition: p, BeginsAfter: begins, Floor: floor,
		Delivered: floor, At: info.TimeStamp,
	}
}

// partitionConfig is the consumer of a partition that begins behind a message.
func partitionConfig(p delivery.Partition, beginsAfter, startAfter uint64) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable: p.Name(), DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy: jetstream.AckAllPolicy,
		Metadata: map[string]string{
			generationKey: strconv.Itoa(p.Generation), partitionKey: strconv.Itoa(p.Index),
			partitionsKey: strconv.Itoa(p.Count), beginsAfterKey: strconv.FormatUint(beginsAfter, 10),
		},
	}
	if startAfter > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, startAfter+1
	}
	fitPartition(&cfg)
	return cfg
}

// fitPartition corrects what Coinhook relies on.
func fitPartition(cfg *jetstream.ConsumerConfig) {
	cfg.Description = "Coinhook: deliveries of a partition that have rows."
	cfg.AckWait = partitionAckWait
	// Past a limit JetStream skips a message for good. The applier decides what is
	// dead.
	cfg.MaxDeliver, cfg.MaxAckPending = -1, -1
}

// Partitions returns the partitions that have a consumer, the oldest generation first.
func (c *Conn) Partitions(ctx context.Context) ([]PartitionState, error) {
	s, err := c.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	return s.partitions(ctx)
}
