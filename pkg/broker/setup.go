package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/secret"
)

// Topology says how an installation wants its streams. A zero field leaves the
// stream as it is; a new stream gets the default.
type Topology struct {
	// Replicas of every stream: 1, 3 or 5. A stream that is missing takes those of
	// the stream of deliveries, and that one takes 1.
	Replicas int
	// MaxBytes bounds the stream of deliveries; a full one refuses, and drops
	// nothing. NoLimit is no bound, the default.
	MaxBytes int64
	// SamplesMaxAge is how long samples stay, 7 days by default. Deliveries have no
	// age: a message leaves once its deliveries are settled and audited.
	SamplesMaxAge time.Duration
	// Partitions is how many partitions the deliveries are settled in, 1 to
	// MaxPartitions.
	Partitions int
	// Table has the generations of partitions. nil is none: then only consumers are set
	// up, and no applier takes their partitions.
	Table PartitionTable
	// Audited returns the message of that incarnation of the stream up to which all
	// deliveries were found settled, 0 for none. It is asked when a consumer of the
	// appliers is missing: a new one begins after that message. nil is the first.
	Audited func(ctx context.Context, incarnation string, s *Stream) (sequence uint64, err error)
}

// Difference is one thing that a setup would change.
type Difference struct {
	Where  string `json:"where"` // such as "stream DELIVERIES"
	What   string `json:"what"`  // such as "replicas"
	Is     string `json:"is"`
	Should string `json:"should"`
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s is %s, should be %s", d.Where, d.What, d.Is, d.Should)
}

// Plan is what a setup would change.
type Plan struct {
	Differences []Difference
	// Risks say what is lost by it, in sentences for the admin to confirm.
	Risks []string
	steps []func(context.Context) error
}

// Setup creates what is missing and corrects what is there.
func (c *Conn) Setup(ctx context.Context, t Topology) error {
	plan, err := c.PlanSetup(ctx, t)
	if err != nil {
		return err
	}
	return plan.Apply(ctx)
}

// Apply does what the plan says.
func (p *Plan) Apply(ctx context.Context) error {
	for _, step := range p.steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// PlanSetup compares what is there with what should be. It changes nothing.
func (c *Conn) PlanSetup(ctx context.Context, t Topology) (*Plan, error) {
	p := &Plan{}
	replicas := t.Replicas // of what is missing
	for _, spec := range streamSpecs(t) {
		info, err := c.streamInfo(ctx, spec.name)
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", spec.title, noLeader(err))
		}
		if info == nil {
			p.create(c, spec, max(replicas, 1))
			continue
		}
		if replicas == 0 && spec.name == deliveriesStream {
			replicas = info.Config.Replicas
		}
		p.correct(c, spec, *info, t.Replicas)
	}
	if err := c.planPartitions(ctx, p, t); err != nil {
		return nil, err
	}
	if err := c.planHeaders(ctx, p); err != nil {
		return nil, err
	}
	if err := c.CheckServers(ctx, replicas); err != nil {
		return nil, err
	}
	return p, nil
}

// streamInfo returns nil where there is no such stream.
func (c *Conn) streamInfo(ctx context.Context, name string) (*jetstream.StreamInfo, error) {
	s, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Stream, error) { return c.js.Stream(ctx, name) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// create plans a stream that is missing.
func (p *Plan) create(c *Conn, spec streamSpec, replicas int) {
	p.Differences = append(p.Differences, Difference{Where: spec.title, What: "it", Is: "missing", Should: "there"})
	p.steps = append(p.steps, func(ctx context.Context) error {
		var err error
		if spec.bucket != nil {
			cfg := *spec.bucket
			cfg.Replicas = replicas
			_, err = c.js.CreateKeyValue(ctx, cfg)
		} else {
			cfg := spec.fresh
			cfg.Replicas, cfg.Metadata = replicas, c.freshMetadata(spec)
			spec.fit(&cfg)
			_, err = c.js.CreateStream(ctx, cfg)
		}
		if err != nil {
			return fmt.Errorf("set up the %s: %w", spec.title, placed(err, replicas))
		}
		return nil
	})
}

// correct plans the changes of a stream that is there.
func (p *Plan) correct(c *Conn, spec streamSpec, info jetstream.StreamInfo, replicas int) {
	want := info.Config
	spec.fit(&want)
	if replicas > 0 {
		want.Replicas = replicas
	}
	differences := compareStreams(spec.title, info.Config, want)
	moves := c.needsBoundary(spec, info)
	if moves {
		is := "none"
		if info.Config.Metadata[boundaryKey] != "" {
			is = "signed with a key that is not in the " + secret.DeliveryKeyVariable
			p.Risks = append(p.Risks, "The key that signed the boundary of the deliveries is gone. The appliers check no delivery that is in the stream by now: "+
				"pending deliveries are executed, also those that somebody else wrote to the stream.")
		}
		differences = append(differences, Difference{
			Where: spec.title, What: boundaryKey, Is: is, Should: strconv.FormatUint(info.State.LastSeq, 10),
		})
	}
	if len(differences) == 0 {
		return
	}
	p.Differences = append(p.Differences, differences...)
	if want.Replicas < info.Config.Replicas {
		p.Risks = append(p.Risks, fmt.Sprintf("The %s goes from %d copies to %d: what a server holds may be lost with it.",
			spec.title, info.Config.Replicas, want.Replicas))
	}
	if want.MaxBytes > 0 && want.MaxBytes != info.Config.MaxBytes && uint64(want.MaxBytes) <= info.State.Bytes {
		p.Risks = append(p.Risks, fmt.Sprintf("The %s holds %d bytes already: with a bound of %d it refuses every request (503).",
			spec.title, info.State.Bytes, want.MaxBytes))
	}
	p.steps = append(p.steps, func(ctx context.Context) error {
		if moves {
			if err := c.moveBoundary(ctx, &want); err != nil {
				return fmt.Errorf("set up the %s: %w", spec.title, err)
			}
		}
		if _, err := c.js.UpdateStream(ctx, want); err != nil {
			return fmt.Errorf("set up the %s: %w", spec.title, placed(err, want.Replicas))
		}
		return nil
	})
}

// property is one of a stream or consumer, as it is and as it should be.
type property struct {
	what       string
	is, should any
}

// compare lists the properties that differ.
func compare(where string, properties ...property) (all []Difference) {
	for _, p := range properties {
		if p.is != p.should {
			all = append(all, Difference{Where: where, What: p.what, Is: fmt.Sprint(p.is), Should: fmt.Sprint(p.should)})
		}
	}
	return all
}

// compareStreams lists what differs of what a setup may change.
func compareStreams(title string, have, want jetstream.StreamConfig) []Difference {
	return compare(title,
		property{"replicas", have.Replicas, want.Replicas},
		property{"max_bytes", have.MaxBytes, want.MaxBytes},
		property{"max_age", have.MaxAge, want.MaxAge},
		property{"max_msgs", have.MaxMsgs, want.MaxMsgs},
		property{"max_msgs_per_subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject},
		property{"max_msg_size", have.MaxMsgSize, want.MaxMsgSize},
		property{"subjects", strings.Join(have.Subjects, ","), strings.Join(want.Subjects, ",")},
		property{"discard", have.Discard, want.Discard},
		property{"discard_new_per_subject", have.DiscardNewPerSubject, want.DiscardNewPerSubject},
		property{"duplicate_window", have.Duplicates, want.Duplicates},
		property{"deny_delete", have.DenyDelete, want.DenyDelete},
		property{"allow_direct", have.AllowDirect, want.AllowDirect},
	)
}

// auditedUpTo is where a consumer that was lost begins to make a difference: the audit
// has seen that all before has its outcome. Nothing would take effect twice, but a long
// stream would be read from its first message.
func (c *Conn) auditedUpTo(ctx context.Context, t Topology) (sequence uint64, err error) {
	if t.Audited == nil {
		return 0, nil
	}
	stream, err := c.OpenStream(ctx)
	if err != nil {
		return 0, err
	}
	incarnation, err := c.Incarnation(ctx)
	if err != nil {
		return 0, err
	}
	return t.Audited(ctx, incarnation, stream)
}

func compareConsumers(title string, have, want jetstream.ConsumerConfig) []Difference {
	return compare(title,
		property{"ack_wait", have.AckWait, want.AckWait},
		property{"max_deliver", have.MaxDeliver, want.MaxDeliver},
		property{"max_ack_pending", have.MaxAckPending, want.MaxAckPending},
		property{"ack_policy", have.AckPolicy, want.AckPolicy},
	)
}
