package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/pkg/broker"
)

type auditCmd struct {
	Look auditLookCmd `cmd:"" default:"withargs" hidden:"" help:"Compare everything."`
	Ack  auditAckCmd  `cmd:"" help:"Acknowledge findings that cannot be corrected: they no longer fail the audit or stop removal."`
}

type auditLookCmd struct {
	Repair bool `help:"Publish accepted deliveries without an outcome again, after you confirm. Safe to repeat, and while deliveries flow."`
}

// auditJSON is what an audit prints for programs.
type auditJSON struct {
	*audit.Report
	OK bool `json:"ok"`
	// Repaired are published again and settled; null without --repair.
	Repaired *int `json:"repaired"`
}

// auditStatementTimeout bounds one statement about all of the ledger.
const auditStatementTimeout = 30 * time.Minute

// errViolations ends the command with 1: the report has said why.
var errViolations = errors.New("it does not add up: see above")

func (c *auditLookCmd) Run(a *app) error {
	auditor, incarnation, err := a.auditor()
	if err != nil {
		return err
	}
	bar := progressLine{a: a}
	auditor.Progress = func(what string) { bar.show(0, "%s", what) }
	if !c.Repair {
		report, err := auditor.Run(a.ctx, incarnation)
		bar.clear()
		if err != nil {
			return err
		}
		return a.finishAudit(report, nil)
	}
	if err := a.eraseAgain(); err != nil {
		return err
	}
	publisher, stop, err := a.publisher(broker.PublisherOptions{Again: true})
	if err != nil {
		return err
	}
	defer stop()
	report, repaired, err := auditor.Repair(a.ctx, incarnation, publisher, func(r *audit.Report, n int) error {
		bar.clear()
		if !a.json() {
			printAudit(a, r)
		}
		return a.confirm(fmt.Sprintf("Publish %d again?", n))
	})
	bar.clear()
	if repaired > 0 || err == nil {
		err = errors.Join(err, a.record("repair", "installation", "", map[string]any{"published": repaired}))
	}
	if err != nil {
		return err
	}
	if repaired == 0 {
		return a.finishAudit(report, &repaired)
	}
	a.say("%s published again and settled. The audit runs once more.", admin.Counted(repaired, "delivery was", "deliveries were"))
	after, err := auditor.Run(a.ctx, incarnation)
	bar.clear()
	if err != nil {
		return err
	}
	return a.finishAudit(after, &repaired)
}

func (a *app) auditor() (*audit.Auditor, string, error) {
	if _, err := a.openDatabase(auditStatementTimeout); err != nil {
		return nil, "", err
	}
	db, conn, stream, err := a.databaseAndStream()
	if err != nil {
		return nil, "", err
	}
	if err := conn.CheckDeliveryKey(a.ctx); errors.Is(err, broker.ErrNoDeliveryKey) {
		a.say("This audit cannot tell forged deliveries from genuine ones: %s.", err)
	}
	auditor := db.Auditor(stream)
	if auditor.Erased, err = conn.Erased(a.ctx); err != nil {
		return nil, "", err
	}
	incarnation, err := conn.Incarnation(a.ctx)
	return auditor, incarnation, err
}

func (a *app) finishAudit(r *audit.Report, repaired *int) error {
	if a.json() {
		if err := a.printJSON(auditJSON{r, r.OK(), repaired}); err != nil {
			return err
		}
	} else {
		printAudit(a, r)
	}
	if !r.OK() {
		return errViolations
	}
	return nil
}

func printAudit(a *app, r *audit.Report) {
	fmt.Fprintf(a.Stdout, "%d accepted = %d success + %d failed + %d pending", r.Accepted, r.Success, r.Failed, r.Pending)
	if r.Parked > 0 {
		fmt.Fprintf(a.Stdout, " (%d of them parked)", r.Parked)
	}
	if r.Removed > 0 {
		fmt.Fprintf(a.Stdout, " + %d removed with their history", r.Removed)
	}
	if r.Unsettled > 0 {
		fmt.Fprintf(a.Stdout, " + %d without an outcome", r.Unsettled)
	}
	fmt.Fprintf(a.Stdout, "; %d replays.\n", r.Replays)
	if r.Unproven > 0 {
		fmt.Fprintf(a.Stdout, "%d of them without a valid MAC: somebody who does not have the DELIVERY_KEY has put them into the stream.\n", r.Unproven)
	}
	if r.Beyond > 0 {
		fmt.Fprintf(a.Stdout, "%s applied from messages that are no longer in the stream: only the ledger confirms them.\n", countOf(r.Beyond))
	}
	if r.Trail.Entries > 0 {
		fmt.Fprintf(a.Stdout, "%s in the audit trail, the newest is %d with the hash %s.\n", counted(int(r.Trail.Entries), "line"), r.Trail.Newest, r.Trail.Head)
	}
	known := ""
	if n := len(r.Acknowledged); n > 0 {
		known = fmt.Sprintf(", except for %s that are acknowledged (-o json names them)", counted(n, "finding"))
	}
	if r.OK() {
		fmt.Fprintf(a.Stdout, "Every balance, gamification log, outcome and dead letter adds up%s.\n", known)
		return
	}
	if known != "" {
		fmt.Fprintf(a.Stdout, "%s acknowledged.\n", counted(len(r.Acknowledged), "finding"))
	}
	fmt.Fprintln(a.Stdout)
	a.printViolations(r.Violations)
}

// violationsPrinted bounds a table. JSON has all of them.
const violationsPrinted = 1000

func (a *app) printViolations(violations []admin.Finding) {
	if more := len(violations) - violationsPrinted; more > 0 {
		defer fmt.Fprintf(a.Stdout, "\n%s not shown; -o json names them.\n", admin.Counted(more, "more violation is", "more violations are"))
		violations = violations[:violationsPrinted]
	}
	a.printTable([]string{"violation", "delivery", "user", "currency", "message", "detail"}, each(violations, func(v admin.Finding) []string {
		sequence := ""
		if v.Sequence > 0 {
			sequence = strconv.FormatUint(v.Sequence, 10)
		}
		return []string{v.Kind, idText(v.DeliveryID), idText(v.UserID), admin.OrEmpty(v.Currency), sequence, v.Detail}
	}))
}
