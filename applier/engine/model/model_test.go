package model_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/admin/revert"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// TestHistories runs random histories of deliveries against the real applier, store,
// replay, revert and audit. The stream is simulated. After each step the database
// has exactly what a simple reference says; in the end each delivery in the stream
// has one outcome, and the audit agrees.
//
// It was seen to fail with each of these faults, planted by hand:
//   - an applier that acknowledges although the transaction failed
//   - a revert that leaves out a delivery's third log
//   - a settlement that ignores idempotency keys
//   - a repair whose copies count where they are, not where the delivery was first
//   - a replay that runs each time the broker hands it out
//   - a parked row that stays when its delivery is settled
//   - an audit that takes parked deliveries for lost ones
//
// More histories: go test ./applier/engine/model -rapid.checks=2000 -rapid.steps=60
func TestHistories(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.saveTables(t, "empty")
	rapid.Check(t, func(rt *rapid.T) {
		w := h.newWorld(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"": w.check,
			// Rapid prefers what comes first in the alphabet.
			"accept": w.accept, "accept more": w.accept, "accept another": w.accept,
			"apply": w.apply, "apply more": w.apply, "apply others": w.apply, "apply again": w.applyAgain,
			"appear":             w.addUser,
			"back up NATS":       w.backUpNATS,
			"back up PostgreSQL": w.backUpPostgreSQL,
			"bite":               w.biteSome,
			"discard":            w.discard,
			"pause":              w.pause,
			"repair":             w.repair,
			"replay":             w.replayByID,
			"replay all":         w.replayAll,
			"restart":            w.restart,
			"restore NATS":       w.restoreNATS,
			"restore PostgreSQL": w.restorePostgreSQL,
			"resume":             w.resume,
			"revert":             w.revert,
		})
		w.finish()
	})
}

// finish has the appliers settle all that there is, and repairs what is lost: then
// each delivery in the stream has its outcome.
func (w *world) finish() {
	for h := range w.idOf {
		w.setPaused(h, false)
		w.bite(none, h, math.MaxInt32)
	}
	w.drain()
	report := w.audit(false)
	if !report.OK() {
		report = w.audit(false)
	}
	w.check(w.t)
	if report.Pending+report.Unsettled > 0 || report.Success+report.Failed != report.Accepted {
		w.fail("in the end not all is settled", report)
	}
	for _, m := range w.stream.messages {
		for _, d := range m.Deliveries {
			if w.want.facts[d.ID] == nil {
				w.fail("a delivery has no outcome", d.ID)
			}
		}
	}
}

// events are requests of a few users, some of which need no more than they have.
var events = rapid.Custom(func(t *rapid.T) event {
	e := event{
		hook:  hooks.Draw(t, "webhook"),
		user:  rapid.SampledFrom([]string{"a@x", "b@x", "c@x"}).Draw(t, "user"),
		coins: rapid.Int64Range(0, 9).Draw(t, "coins"),
		spent: rapid.Int64Range(0, 6).Draw(t, "spent"),
		gems:  rapid.Int64Range(-4, 4).Draw(t, "gems"),
		team:  rapid.SampledFrom([]string{"red", "blue", "green", "black"}).Draw(t, "team"),
	}
	e.skip = rapid.IntRange(0, 9).Draw(t, "skip") == 9
	e.broken = rapid.IntRange(0, 19).Draw(t, "broken") == 19
	return e
})

// accept is one message of an ingress. Some of its requests are those that a sender
// sends once more.
func (w *world) accept(t *rapid.T) {
	var message []delivery.Delivery
	for range rapid.IntRange(1, 3).Draw(t, "deliveries") {
		e := events.Draw(t, "request")
		// Keys are used more than once, with other payloads, too.
		e.key = fmt.Sprint("key ", rapid.IntRange(0, len(w.ids)+3).Draw(t, "key"))
		if len(w.ids) > 0 && rapid.IntRange(0, 4).Draw(t, "is sent again") == 4 {
			e = w.events[w.ids[rapid.IntRange(0, len(w.ids)-1).Draw(t, "which one")]]
		}
		message = append(message, w.newDelivery(e))
	}
	w.stream.store(message)
}

func drawFault(t *rapid.T) fault {
	return rapid.SampledFrom([]fault{none, none, none, beforeCommit, afterCommit, ackLost}).Draw(t, "fault")
}

// apply hands an owner the next messages behind its floor.
func (w *world) apply(t *rapid.T) {
	index := rapid.IntRange(0, partitions-1).Draw(t, "partition")
	if !w.next(drawFault(t), index, uint64(rapid.IntRange(1, 4).Draw(t, "messages"))) {
		t.Skip("nothing is there")
	}
}

// applyAgain hands out any messages once more, in any order.
func (w *world) applyAgain(t *rapid.T) {
	index := rapid.IntRange(0, partitions-1).Draw(t, "partition")
	if w.stream.delivered[index] == 0 {
		t.Skip("nothing was handed out")
	}
	var batch []uint64
	for range rapid.IntRange(1, 3).Draw(t, "messages") {
		batch = append(batch, rapid.Uint64Range(1, w.stream.delivered[index]).Draw(t, "message"))
	}
	w.handle(drawFault(t), index, batch...)
}

var hooks = rapid.SampledFrom([]hook{shop, guild})

func (w *world) pause(t *rapid.T) { w.setPaused(hooks.Draw(t, "webhook"), true) }

// resume leaves the parked deliveries to biteSome.
func (w *world) resume(t *rapid.T) { w.setPaused(hooks.Draw(t, "webhook"), false) }

func (w *world) biteSome(t *rapid.T) {
	h := hooks.Draw(t, "webhook")
	if w.paused[h] || w.want.countParked(h) == 0 {
		t.Skip("nothing may go on")
	}
	w.bite(drawFault(t), h, rapid.IntRange(1, 3).Draw(t, "deliveries"))
}

func (w *world) addUser(t *rapid.T) {
	if w.want.users["c@x"] {
		t.Skip("all are there")
	}
	w.addUsers("c@x")
}

// drawIDs are some of all deliveries, whatever became of them.
func (w *world) drawIDs(t *rapid.T) (ids []delivery.ID) {
	if len(w.ids) == 0 {
		t.Skip("there are no deliveries")
	}
	which := rapid.IntRange(0, len(w.ids)-1)
	for _, n := range rapid.SliceOfNDistinct(which, 1, min(len(w.ids), 6), rapid.ID[int]).Draw(t, "which") {
		ids = append(ids, w.ids[n])
	}
	return ids
}

func (w *world) replayByID(t *rapid.T) {
	ids := w.drawIDs(t)
	var want int
	force := rapid.Bool().Draw(t, "force")
	for _, id := range ids {
		if f := w.want.facts[id]; f != nil && f.isDead && (force || f.replays < replay.MaxReplays) {
			want++
		}
	}
	w.replay(t, &replay.Request{Filter: postgres.DeadLetterFilter{IDs: ids}, Force: force}, want)
}

func (w *world) replayAll(t *rapid.T) {
	w.replay(t, &replay.Request{Asked: "all"}, -1)
}

// replay plans and runs. A command that is interrupted leaves what it published in
// the stream; one of many goes on when it is asked for again.
func (w *world) replay(t *rapid.T, request *replay.Request, want int) {
	request.Mapping, request.By = replay.Current, "ada"
	leaves := rapid.Bool().Draw(t, "is interrupted")
	replayer := w.replayer(leaves)
	nothingElse := w.stream.atEnd() && !w.want.waits(shop) && !w.want.waits(guild)
	plan, err := replayer.Plan(context.Background(), request, false)
	if err != nil {
		t.Fatal(err)
	}
	if want >= 0 && plan.Selected != want {
		w.fail("the plan is for other dead letters", plan.Selected, want)
	}
	result, err := replayer.Run(context.Background(), request, plan, replay.Options{})
	if err != nil && !errors.Is(err, errInterrupted) {
		t.Fatal(err)
	}
	if leaves || !nothingElse || plan.Resumes != nil || plan.Paused > 0 { // the plan of paused ones is what they would do now
		return
	}
	got := [...]int{result.Applied, result.Duplicates, result.Skipped, result.Failed, result.Pending, result.NoOps}
	stillFailing := 0
	for _, f := range plan.StillFailing {
		stillFailing += f.Count
	}
	if planned := [...]int{plan.Applied, plan.Duplicate, plan.Skipped, stillFailing, 0, 0}; got != planned {
		w.fail("a replay did not do what was planned", planned, got)
	}
}

func (w *world) discard(t *rapid.T) {
	ids := w.drawIDs(t)
	gone, err := w.store.DiscardDeadLetters(context.Background(), ids, time.Now().Add(time.Hour), "ada", "a test")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		f := w.want.facts[id]
		if isDead := f != nil && f.isDead; isDead != slices.Contains(gone, id) {
			w.fail("other dead letters are discarded", isDead, gone)
		} else if isDead {
			f.isDead = false
		}
	}
}

// revert plans and runs, and runs the same once more, which changes nothing.
func (w *world) revert(t *rapid.T) {
	request := &revert.Request{IDs: w.drawIDs(t), By: "ada", AllowNegative: rapid.IntRange(0, 3).Draw(t, "allow negative") == 3}
	if w.wentBack {
		// A revert looks for the value before by places, which are used again.
		request.IDs = slices.DeleteFunc(request.IDs, func(id delivery.ID) bool { return w.events[id].hook == guild })
	}
	for range 2 {
		plan, err := w.reverter().Plan(context.Background(), request)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		ids := slices.Clone(request.IDs)
		slices.SortFunc(ids, func(a, b delivery.ID) int { return -slices.Compare(a[:], b[:]) })
		for _, id := range ids {
			if w.want.revert(id, request.AllowNegative) {
				want++
			}
		}
		result, err := w.reverter().Run(context.Background(), request, plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Selected != want || result.Reverted != want {
			w.fail("others are reverted", plan.Selected, result.Reverted, want)
		}
		w.check(t)
	}
}

func (w *world) backUpPostgreSQL(t *rapid.T) {
	name := rapid.SampledFrom([]string{"one", "two"}).Draw(t, "name")
	w.saveTables(t, name)
	w.backups[name] = w.want.clone()
}

func (w *world) restorePostgreSQL(t *rapid.T) {
	if len(w.backups) == 0 {
		t.Skip("there is no backup")
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(w.backups))).Draw(t, "name")
	w.loadTables(t, name)
	w.want = w.backups[name].clone()
}

func (w *world) backUpNATS(*rapid.T) { w.backup = w.stream.clone() }

// restoreNATS loses what came since, unless it is settled.
func (w *world) restoreNATS(t *rapid.T) {
	if w.backup == nil {
		t.Skip("there is no backup")
	}
	w.stream, w.wentBack = w.backup.clone(), true
}

// repair publishes again what is acked and has no row.
func (w *world) repair(t *rapid.T) {
	lost := false
	w.eachLost(func(broker.Message, delivery.Delivery) { lost = true })
	if !lost {
		t.Skip("nothing is lost")
	}
	w.audit(rapid.Bool().Draw(t, "is interrupted"))
}

// audit repairs, too.
func (w *world) audit(leaves bool) *audit.Report {
	var found *audit.Report
	ask := func(r *audit.Report, _ int) error {
		found = r
		w.checkReport(r)
		return nil
	}
	report, _, err := w.auditor().Repair(context.Background(), w.stream.incarnation, publisher{w, leaves}, ask)
	if err != nil && !errors.Is(err, errInterrupted) {
		w.t.Fatal(err)
	}
	if found == nil {
		w.checkReport(report)
	}
	return report
}
