// Package audit proves that every accepted delivery was applied: it compares the
// messages of the stream with the outcomes, and the ledger with itself. It does not trust
// the state of consumers, which can be wrong after a power loss. It only checks that no
// consumer is past a delivery that has neither an outcome nor a parked row.
package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Report is what an audit found, as programs read it.
type Report struct {
	// Accepted is the number of deliveries in the stream. It is the sum of Success,
	// Failed, Pending, Removed and Unsettled.
	Accepted int `json:"accepted"`
	Success  int `json:"success"`
	Failed   int `json:"failed"`
	Pending  int `json:"pending"`
	// Parked are those of the pending that wait in rows of their own.
	Parked int `json:"parked"`
	// Removed were settled, and their outcomes removed for their age. The stream has
	// them again because it came back from a backup. They are not executed again.
	Removed int `json:"removed"`
	// Unsettled were delivered to an applier, or skipped, and have neither an outcome nor
	// a parked row: nobody will settle them unless they are published again.
	Unsettled int `json:"unsettled"`
	// Unproven are deliveries whose MAC is missing or wrong although one is required. They
	// are among the failed.
	Unproven int `json:"unproven"`
	// Replays are those in the stream.
	Replays    int             `json:"replays"`
	Violations []admin.Finding `json:"violations"`
	// Beyond are applied outcomes whose message is gone: it was removed for its age, or
	// its stream is gone. Only the ledger can confirm them.
	Beyond int `json:"beyond_the_stream"`
	// Acknowledged are findings that an admin has acknowledged.
	Acknowledged []admin.Acknowledged `json:"acknowledged"`
	Trail        postgres.TrailState  `json:"trail"`
}

// OK reports whether all adds up.
func (r *Report) OK() bool { return len(r.Violations) == 0 }

// The kinds of violations that the stream shows; those of the ledger are named by
// the store.
const (
	unsettled        = "unsettled"
	unexecuted       = "replay_unexecuted"
	unproven         = "unproven"
	outcomeMissing   = "outcome_missing"
	outcomeChanged   = "outcome_changed"
	notInTheStream   = "not_in_stream"
	streamWentBack   = "stream_went_back"
	streamSuperseded = "stream_superseded"
	trailBroken      = "trail_broken"
	nowhere          = "outcome_without_stream"
	untold           = "ack_without_trail"
	notErased        = "user_not_erased"
)

// Stream is the part of the broker's stream that an audit reads. A *broker.Stream
// has it.
type Stream interface {
	Pending(ctx context.Context) (broker.Pending, error)
	Extent(ctx context.Context) (broker.Extent, error)
	Each(ctx context.Context, e broker.Extent, f func(broker.Message) error) error
	Message(ctx context.Context, sequence uint64) (m broker.Message, ok bool, err error)
	Deliveries(ctx context.Context, sequence uint64) ([]delivery.Delivery, error)
	WentBack(ctx context.Context, e broker.Extent, sequence uint64, storedAt time.Time) (bool, error)
}

var _ Stream = (*broker.Stream)(nil)

// Auditor audits.
type Auditor struct {
	store  *postgres.Store
	stream Stream
	// Progress is called with what is being done. It may be nil.
	Progress func(what string)
	// Erased are the users who were erased.
	Erased []delivery.ID
}

// New returns an auditor.
func New(store *postgres.Store, stream Stream) *Auditor {
	return &Auditor{store: store, stream: stream}
}

// audit is one run of an audit.
type audit struct {
	*Auditor
	incarnation string
	extent      broker.Extent
	pending     broker.Pending
	report      Report
	// again are the deliveries that a repair publishes again.
	again []place
	acks  map[admin.FindingKey]admin.Acknowledged // nil until they are read

	page      []delivery.Delivery
	pageSize  int // the most that it may have, 0 for pageSize
	pageBytes int // of their bodies
	// forged counts the deliveries without proof on the page, by message.
	forged  map[uint64]int
	matched int // outcomes that are of deliveries in the stream, where they are
}

// place is where a finding's delivery is.
type place struct {
	delivery.Position
	finding admin.FindingKey
}

// pageSize is how many deliveries one query is about, or fewer if their bodies are
// large.
const (
	pageSize  = 1000
	pageBytes = 8 << 20
)

// Run audits the stream of that incarnation, and the ledger.
func (a *Auditor) Run(ctx context.Context, incarnation string) (*Report, error) {
	r, err := a.run(ctx, incarnation)
	if err != nil {
		return nil, err
	}
	return &r.report, nil
}

func (a *Auditor) run(ctx context.Context, incarnation string) (*audit, error) {
	x := &audit{Auditor: a, incarnation: incarnation, report: Report{Violations: []admin.Finding{}, Acknowledged: []admin.Acknowledged{}}}
	for _, step := range []func(context.Context) error{
		x.auditStream, x.compareExtent, x.findNowhere, x.auditLedger, x.auditTrail, x.auditErased, x.checkAcks, x.leaveOutAcknowledged,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (x *audit) auditLedger(ctx context.Context) error {
	return x.store.AuditLedger(ctx, x.tell, x.found)
}

func (a *Auditor) tell(what string) {
	if a.Progress != nil {
		a.Progress(what)
	}
}

func (x *audit) found(v admin.Finding) { x.report.Violations = append(x.report.Violations, v) }

func (x *audit) foundIn(kind string, d *delivery.Delivery, format string, args ...any) {
	id := d.ID // the page is used again
	x.found(admin.Finding{Kind: kind, DeliveryID: &id, Sequence: d.Position.Sequence, Detail: fmt.Sprintf(format, args...)})
}

// auditStream reads the stream to its present end. It reads the floors first: a delivery
// before its partition's floor had its row committed by then, or never will.
func (x *audit) auditStream(ctx context.Context) (err error) {
	if x.pending, err = x.stream.Pending(ctx); err != nil {
		return err
	}
	if x.extent, err = x.stream.Extent(ctx); err != nil {
		return err
	}
	return x.auditMessages(ctx, x.extent, func(last broker.Message, _ int) error {
		x.tell(fmt.Sprintf("message %d of %d", last.Sequence, x.extent.Last))
		return nil
	})
}

// auditMessages compares the deliveries of a part of the stream. It calls compared after
// each page, with the last message and the number of deliveries.
func (x *audit) auditMessages(ctx context.Context, e broker.Extent, compared func(last broker.Message, deliveries int) error) error {
	var last broker.Message
	page := func() error {
		n := len(x.page)
		if err := x.auditPage(ctx); err != nil {
			return err
		}
		return compared(last, n)
	}
	err := x.stream.Each(ctx, e, func(m broker.Message) error {
		last = m
		if x.add(m.Deliveries) {
			return page()
		}
		return nil
	})
	if err != nil || len(x.page) == 0 {
		return err
	}
	return page()
}

// add puts the deliveries of a message on the page, and reports whether it is full.
func (x *audit) add(message []delivery.Delivery) (full bool) {
	for i := range message {
		x.pageBytes += len(message[i].Body)
	}
	x.page = append(x.page, message...)
	return len(x.page) >= cmp.Or(x.pageSize, pageSize) || x.pageBytes >= pageBytes
}

// auditPage compares a page of deliveries with their outcomes.
func (x *audit) auditPage(ctx context.Context) error {
	ids := make([]delivery.ID, len(x.page))
	for i := range x.page {
		ids[i] = x.page[i].ID
	}
	settled, err := x.store.SettledOf(ctx, x.incarnation, ids)
	if err != nil {
		return err
	}
	accounted, err := x.accounted(ctx)
	if err != nil {
		return err
	}
	forgotten, err := x.forgotten(ctx, settled)
	if err != nil {
		return err
	}
	x.forged = map[uint64]int{}
	for i := range x.page {
		d := &x.page[i]
		switch {
		case d.Replay != nil:
			x.auditReplay(d, accounted[d.Replay.ID] || forgotten[d.ID])
		case forgotten[d.ID]:
			x.report.Accepted++
			x.report.Removed++
		default:
			x.auditDelivery(d, settled)
		}
	}
	x.foundMoreUnproven()
	clear(x.page) // of their bodies
	x.page, x.pageBytes = x.page[:0], 0
	return nil
}

// forgotten returns those of the page whose outcomes were removed for their age. It asks
// after the outcomes were read, so it includes outcomes that were removed in between.
func (x *audit) forgotten(ctx context.Context, settled map[delivery.ID]postgres.Settled) (map[delivery.ID]bool, error) {
	var unknown []*delivery.Delivery
	for i := range x.page {
		if _, known := settled[x.page[i].ID]; !known {
			unknown = append(unknown, &x.page[i])
		}
	}
	return x.store.Forgotten(ctx, x.incarnation, unknown)
}

// accounted returns the replays of the page that were executed or are parked.
func (x *audit) accounted(ctx context.Context) (map[delivery.ID]bool, error) {
	var deliveries, replays []delivery.ID
	for _, d := range x.page {
		if d.Replay != nil {
			deliveries, replays = append(deliveries, d.ID), append(replays, d.Replay.ID)
		}
	}
	if len(replays) == 0 {
		return nil, nil
	}
	return x.store.AccountedReplays(ctx, deliveries, replays)
}

// isPending reports whether an applier has yet to write the delivery's row.
func (x *audit) isPending(d *delivery.Delivery) bool {
	return x.pending.Beyond(d.Position.Sequence, d.InSlot())
}

func (x *audit) auditDelivery(d *delivery.Delivery, settled map[delivery.ID]postgres.Settled) {
	o, known := settled[d.ID]
	if known && o.Here && o.Position != d.Position && o.Position.Sequence >= x.extent.First && o.Position.Sequence <= x.extent.Last {
		return // published again by a repair: it counts where it was settled or parked from
	}
	x.report.Accepted++
	if d.Unproven {
		x.report.Unproven++
		x.foundUnproven(d)
	}
	switch {
	case o.Parked:
		x.report.Parked++
		x.report.Pending++
		return
	case !known && x.isPending(d):
		x.report.Pending++
		return
	case !known && d.Unproven:
		x.report.Failed++ // a database that came back from a backup has forgotten it
		return
	case !known:
		x.report.Unsettled++
		if d.Malformed != "" {
			x.foundIn(unsettled, d, "It is malformed, and has no outcome, and the appliers are past it. Nothing would come of it: acknowledge it.")
			return
		}
		if d.Newer {
			x.foundIn(unsettled, d, "It was accepted, and has no outcome, and the appliers are past it. A newer version of Coinhook has written it: run the audit of that version.")
			return
		}
		x.foundIn(unsettled, d, "It was accepted, and has no outcome, and the appliers are past it: `coinhook audit --repair` publishes it again.")
		x.publishAgain(d)
		return
	case o.Status == "":
		x.report.Unsettled++
		x.foundIn(outcomeMissing, d, "There are log entries, and no outcome.")
		return
	case o.Status == delivery.Success:
		x.report.Success++
	default:
		x.report.Failed++
	}
	if o.Here {
		x.matched++
	}
	if d.Unproven && o.Status == delivery.Success {
		x.foundIn(outcomeChanged, d, "The outcome is a success, and the delivery is forged: somebody has written the outcome.")
		return
	}
	if d.Newer {
		return // what it holds cannot be read
	}
	if sum := sha256.Sum256(d.Body); o.WebhookID != d.WebhookID || !bytes.Equal(o.PayloadSHA256, sum[:]) {
		x.foundIn(outcomeChanged, d, "The outcome is of another webhook or payload than the delivery in the stream.")
	}
}

func (x *audit) auditReplay(d *delivery.Delivery, accounted bool) {
	x.report.Replays++
	if accounted || x.isPending(d) {
		return
	}
	if d.Newer {
		x.foundIn(unexecuted, d, "The replay was published and not executed, and the appliers are past it. A newer version of Coinhook has written it: run the audit of that version.")
		return
	}
	x.foundIn(unexecuted, d, "The replay was published and not executed, and the appliers are past it: `coinhook audit --repair` publishes it again.")
	x.publishAgain(d)
}

// publishAgain has a repair publish the delivery that was found last.
func (x *audit) publishAgain(d *delivery.Delivery) {
	x.again = append(x.again, place{d.Position, x.report.Violations[len(x.report.Violations)-1].Key()})
}
