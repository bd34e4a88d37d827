package history

import (
	"cmp"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// FirstDelivery is the cause of an execution that is no replay.
const FirstDelivery delivery.Cause = "delivery"

// Execution is one run of a delivery: its first one, or a replay.
type Execution struct {
	ID          delivery.ID    `json:"id"`
	Cause       delivery.Cause `json:"cause"`
	RequestedBy *string        `json:"requested_by"`
	RequestedAt *time.Time     `json:"requested_at"`
	Note        *string        `json:"note"`
	Version     int            `json:"version"`
	// Effect is false for a replay whose delivery was no longer a dead letter. The
	// replay changed nothing, and the other members say what the delivery was then.
	Effect  bool              `json:"effect"`
	Status  delivery.Status   `json:"status"`
	Outcome *delivery.Outcome `json:"outcome"`
	Reason  *delivery.Reason  `json:"reason"`
	Detail  *string           `json:"detail"`
	Path    *string           `json:"path"`
	// Edited says that a payload was run which an admin had edited.
	Edited   bool      `json:"edited"`
	Attempts int       `json:"attempts"`
	At       time.Time `json:"at"`
}

// addExecutions adds the runs. A delivery that was never run again has one, which
// its outcome tells of.
func (f *Full) addExecutions(o postgres.Outcome, all []postgres.Execution) {
	if len(all) == 0 {
		f.Executions = []Execution{{
			ID: o.ID, Cause: FirstDelivery, Version: o.Version, Effect: true, Status: o.Status, Outcome: f.Outcome,
			Reason: f.Reason, Detail: f.Detail, Path: f.Path, Attempts: o.Attempts, At: *o.FinishedAt,
		}}
		return
	}
	for _, e := range all {
		f.Executions = append(f.Executions, fromExecution(e))
		if o.Status == delivery.Success && e.Original != nil { // what succeeded was not what the sender sent
			f.Payload, f.Edited = e.Original, e.Edited
		}
	}
}

func fromExecution(e postgres.Execution) Execution {
	x := Execution{
		ID: e.ID, Cause: cmp.Or(e.Cause, FirstDelivery), RequestedBy: admin.OrNil(e.RequestedBy), Note: admin.OrNil(e.Note),
		Version: e.Version, Effect: e.Effect, Status: e.Status, Outcome: admin.OrNil(e.Outcome), Reason: admin.OrNil(e.Reason), Detail: admin.OrNil(e.Detail), Path: admin.OrNil(e.Path),
		Edited: e.Edited != nil, Attempts: e.Attempts, At: e.At.UTC(),
	}
	if !e.RequestedAt.IsZero() {
		x.RequestedAt = new(e.RequestedAt.UTC())
	}
	return x
}
