// Package replay runs dead letters again, one or a hundred thousand: first a plan, then
// the run. Command and console share it.
package replay

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Mapping says which definition decides.
type Mapping string

const (
	Current  Mapping = "current"
	Original Mapping = "original" // the version that decided first
)

// ErrBusy: somebody else runs the same replay at this moment.
var ErrBusy = postgres.ErrRunBusy

// MaxReplays is how often a dead letter is run again before plans leave it out.
const MaxReplays = 5

// Request says which dead letters run again, and how.
type Request struct {
	// Filter selects them. If it has IDs, those are all of them.
	Filter postgres.DeadLetterFilter
	// Asked is the text of the request, if it names no ids. It is the same each time,
	// unlike the filter of "--since 24h".
	Asked   string
	Mapping Mapping
	// Force runs those too that were run again MaxReplays times.
	Force bool
	// Edited runs instead of the payload unless it is nil. It is for one dead letter, and
	// is not encrypted.
	Edited []byte
	// By and Note say who asks, and why.
	By, Note string
	// part: it names a part of what was asked for.
	part bool
	// scope are the communities of who asks, nil for all. The same text of somebody else
	// asks for other dead letters.
	scope []string
}

// isByID reports whether the request names dead letters by id. Such a run is not resumed:
// the request simply names them again.
func (r *Request) isByID() bool { return r.Filter.IDs != nil }

// cause is what the lineage says.
func (r *Request) cause() delivery.Cause {
	if r.isByID() && !r.part {
		return delivery.Manual
	}
	return delivery.Bulk
}

// maxSelection is what the index of runs takes in any case.
const maxSelection = 1000

// selection identifies a request, so that an interrupted run is found again. One that is
// too long for an index is there as its hash.
func (r *Request) selection() string {
	text := fmt.Sprintf("%s by the %s definition, force: %t", r.Asked, r.Mapping, r.Force)
	if r.scope != nil {
		text += fmt.Sprintf(", in %q", r.scope)
	}
	if len(text) > maxSelection {
		return fmt.Sprintf("sha256 %x", sha256.Sum256([]byte(text)))
	}
	return text
}

// leavesOut reports whether a dead letter was run again too often.
func (r *Request) leavesOut(l admin.Letter) bool { return !r.Force && l.Replays >= MaxReplays }

// isUnasked reports whether nobody with permission may have sent a dead letter, and the
// request does not ask for such ones. A replay would sign it.
func (r *Request) isUnasked(l admin.Letter) bool {
	return *l.Reason == delivery.MalformedDelivery && r.Filter.Reason != delivery.MalformedDelivery && !r.isByID()
}

// check refuses an edited payload that would take a dead letter to another community.
func (r *Request) check(l admin.Letter) error {
	if r.Edited == nil || l.WebhookID != applier.AdjustmentID {
		return nil
	}
	if err := applier.StaysIn(l.Community, r.Edited); err != nil {
		return &admin.Invalid{Part: "payload", Err: err}
	}
	return nil
}

// replayOf returns a dead letter as a delivery that runs again. revision is that of the
// definition with which the plan was made.
func (r *Request) replayOf(id delivery.ID, l admin.Letter, body postgres.DeadLetterBody, revision uint64, at time.Time) delivery.Delivery {
	d := delivery.Delivery{
		ID: l.ID, WebhookID: l.WebhookID, Slot: delivery.SlotOf(l.Community), ReceivedAt: l.ReceivedAt,
		Headers: body.Headers, Method: body.Method, Query: body.Query, Body: body.Payload, First: body.First,
		Replay: &delivery.Replay{
			ID: id, Cause: r.cause(), RequestedBy: r.By, RequestedAt: at, Note: r.Note, Revision: revision,
		},
	}
	if r.Mapping == Original {
		d.Replay.Version = l.FirstVersion
	}
	switch {
	case r.Edited != nil:
		d.Body, d.Replay.Edited = r.Edited, true
	case body.Edited != nil:
		d.Body, d.Replay.Edited = body.Edited, true
	}
	return d
}

// replayID returns the id of a delivery's replay in a run. It is the same each time it is
// published, so a replay that is published twice is one replay.
func replayID(run, d delivery.ID) delivery.ID {
	h := sha256.New()
	h.Write(run[:])
	h.Write(d[:])
	id := delivery.ID(h.Sum(nil)[:16])
	copy(id[:6], run[:6]) // its time
	id[6], id[8] = 0x70|id[6]&0x0f, 0x80|id[8]&0x3f
	return id
}

const (
	// pageLetters and pageBytes bound what is in memory at a time.
	pageLetters = 256
	pageBytes   = 4 << 20
)

// letter is a dead letter with the body that runs.
type letter struct {
	admin.Letter
	body postgres.DeadLetterBody
}

// walk calls f with the dead letters that the request selects, page by page, the oldest
// first, beginning after one.
func (r *Request) walk(ctx context.Context, s *postgres.Store, after delivery.ID, f func([]letter) error) error {
	filter := r.Filter
	filter.OldestFirst, filter.Limit, filter.After = true, pageLetters, after
	for {
		list, err := s.ListDeadLetters(ctx, filter)
		if err != nil {
			return err
		}
		for rest := list; len(rest) > 0; {
			n := fitting(rest)
			page, err := readBodies(ctx, s, rest[:n])
			if err != nil {
				return err
			}
			if err := f(page); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if len(list) < pageLetters {
			return nil
		}
		filter.After = list[len(list)-1].ID
	}
}

// fitting is how many of the dead letters, one at least, have payloads that go
// into memory together.
func fitting(list []admin.Letter) int {
	bytes := 0
	for i, l := range list {
		if bytes += l.PayloadBytes; bytes > pageBytes && i > 0 {
			return i
		}
	}
	return len(list)
}

// readBodies leaves out deliveries that are no longer dead letters.
func readBodies(ctx context.Context, s *postgres.Store, list []admin.Letter) ([]letter, error) {
	ids := make([]delivery.ID, len(list))
	for i, l := range list {
		ids[i] = l.ID
	}
	bodies, err := s.DeadLetterBodies(ctx, ids)
	if err != nil {
		return nil, err
	}
	page := make([]letter, 0, len(list))
	for _, l := range list {
		if body, ok := bodies[l.ID]; ok {
			page = append(page, letter{l, body})
		}
	}
	return page, nil
}
