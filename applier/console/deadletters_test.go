package console_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ended waits until a run has, and returns what its page says.
func (w *world) ended(t *testing.T, started *page) string {
	t.Helper()
	if started.status != http.StatusSeeOther {
		t.Fatalf("it did not start: status %d, %q", started.status, started.text("main"))
	}
	var p *page
	appliertest.Eventually(w.t, "the run has ended", func() bool {
		p = w.admin.get(started.header.Get("Location"))
		return p.Find("#run[hx-get]").Length() == 0
	})
	return p.text("#run")
}

// seen names the plan that the page shows.
func (p *page) seen() string { return p.Find("input[name=seen]").AttrOr("value", "") }

func TestDeadLettersAreReplayedAsPlanned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	w.settle()
	var last delivery.ID
	for range 3 {
		last = w.settled(shop, `{"user":"late@example.com","coins":50}`)
	}
	w.settled(shop, `{"user":"late@example.com"}`)

	p := w.admin.get("/dead-letters")
	if n := p.Find("article.group").Length(); n != 2 || !strings.Contains(p.text("article.group h2"), "3 Shop: Unknown user user_not_found") {
		t.Fatalf("%d groups: %q", n, p.text("article.group h2"))
	}
	replayAddress := p.Find("article.group .actions a").First().AttrOr("href", "")
	if rows := cells(w.admin.get(p.Find("article.group p a:contains('Show all')").First().AttrOr("href", "")), "table tbody tr"); len(rows) != 3 {
		t.Errorf("the group has %d rows", len(rows))
	}
	plan := w.admin.get(replayAddress)
	if !strings.Contains(plan.text("dl"), "To replay3, Unknown user user_not_found 3 Would be applied✓ 0 Would fail again✗ 3") {
		t.Errorf("the plan without the user: %q", plan.text("dl"))
	}
	w.user("late@example.com")
	plan = w.admin.get(replayAddress)
	if rows := cells(plan, "table tbody tr"); len(rows) != 1 || strings.Join(rows[0], " ") != "late@example.com Coins 0 150" {
		t.Errorf("the plan's balances: %q", rows)
	}
	form := url.Values{}
	plan.Find("form[action='/dead-letters/replay'] input[type=hidden]").Each(func(_ int, input *goquery.Selection) {
		form.Set(input.AttrOr("name", ""), input.AttrOr("value", ""))
	})
	stale := url.Values{}
	for name, values := range form {
		stale[name] = values
	}
	stale.Set("mapping", "original")
	if p := w.admin.post("/dead-letters/replay", stale); p.status != http.StatusConflict || !strings.Contains(p.text("[role=alert]"), "not the plan that you saw") {
		t.Errorf("other choices than the plan's: status %d", p.status)
	}
	viewer := w.signedIn("val", admin.Viewer)
	if p := viewer.post("/dead-letters/replay", form); p.status != http.StatusForbidden {
		t.Errorf("a viewer's replay: status %d", p.status)
	}
	form.Set("note", "the user was late")
	if text := w.ended(t, w.admin.post("/dead-letters/replay", form)); !strings.Contains(text, "Done. 3 applied.") {
		t.Errorf("the run says %q", text)
	}
	if rows := cells(w.admin.get("/users?search=late"), "#users tbody tr"); len(rows) != 1 || rows[0][2] != "Coins 150, XP 0" {
		t.Errorf("late has %q", rows)
	}
	if runs := w.admin.get("/deliveries/" + last.String() + "?tab=runs").text("article"); !strings.Contains(runs, "asked for by anna: the user was late") {
		t.Errorf("its executions: %q", runs)
	}
	if trail := w.admin.get("/trail").text("#trail"); !strings.Contains(trail, "replay dead letters") {
		t.Errorf("the trail: %q", trail)
	}
}

func TestADeadLetterIsEditedAndReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	shop := w.webhook("Shop")
	w.settle()
	id := w.settled(shop, `{"user":"alice@example.com","coins":"many"}`).String()
	if p := w.admin.get("/dead-letters/replay?id=" + id); p.Find("textarea").Length() != 0 {
		t.Errorf("the payload is there unasked: %q", p.Find("textarea").Text())
	}
	form := url.Values{"id": {id}, "edit": {"1"}}
	plan := w.admin.post("/dead-letters/replay", form)
	if got := plan.Find("textarea").Text(); got != `{"user":"alice@example.com","coins":"many"}` {
		t.Errorf("to edit there is %q", got)
	}
	form.Set("payload", `{"user":"alice@example.com","coins":"12"}`)
	form.Set("plan", "1")
	plan = w.admin.post("/dead-letters/replay", form)
	if rows := cells(plan, "table tbody tr"); len(rows) != 1 || rows[0][3] != "12" {
		t.Errorf("the plan for the edited payload: %q", rows)
	}
	if plan.Find("textarea").Text() != form.Get("payload") {
		t.Errorf("the form forgot what was typed: %q", plan.Find("textarea").Text())
	}
	form.Del("plan")
	form.Set("seen", plan.seen())
	// What was seen first is the plan for the sender's payload.
	first := w.admin.post("/dead-letters/replay", url.Values{"id": {id}, "edit": {"1"}})
	empty := url.Values{"id": {id}, "edit": {"1"}, "payload": {" \r\n"}, "seen": {first.seen()}, "run": {"1"}}
	if p := w.admin.post("/dead-letters/replay", empty); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("[role=alert]"), "cannot be empty") {
		t.Errorf("an empty payload: status %d, %q", p.status, p.text("main"))
	}
	other := url.Values{"id": {id}, "edit": {"1"}, "payload": {`{"user":"alice@example.com","coins":"99"}`}, "seen": {plan.seen()}}
	if p := w.admin.post("/dead-letters/replay", other); p.status != http.StatusConflict {
		t.Errorf("another payload than the plan's: status %d", p.status)
	}
	if text := w.ended(t, w.admin.post("/dead-letters/replay", form)); !strings.Contains(text, "Done. 1 applied.") {
		t.Errorf("the run says %q", text)
	}
	if got := w.admin.get("/deliveries/" + id + "?tab=changes").text("article"); !strings.Contains(got, "+12") {
		t.Errorf("it changed %q", got)
	}
}

// What comes back from a browser as it went there is not edited, though line ends
// and what is no text have changed on the way.
func TestAPayloadThatNobodyEditedStaysTheSenders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	w.settle()
	w.user("alice@example.com")
	for name, payload := range map[string]string{
		"lines":         "\n{\n  \"user\": \"alice@example.com\",\r\n  \"token\": \"s3cret\",\r  \"coins\": \"many\"\n}\n",
		"no UTF-8, NUL": "{\"user\":\"a\xff\xfe\x00",
	} {
		id := w.settled(shop, payload).String()
		first := w.admin.get("/dead-letters/replay?id=" + id)
		if strings.Contains(first.body, "s3cret") {
			t.Errorf("%s: the plan shows a secret", name)
		}
		edit := w.admin.post("/dead-letters/replay", url.Values{"id": {id}, "edit": {"1"}})
		text := strings.ReplaceAll(edit.Find("textarea").Text(), "\n", "\r\n") // as browsers send it
		form := url.Values{"id": {id}, "edit": {"1"}, "payload": {text}, "seen": {edit.seen()}, "run": {"1"}}
		w.ended(t, w.admin.post("/dead-letters/replay", form))
		full := w.admin.get("/deliveries/" + id + "?tab=payload").text("article")
		if strings.Contains(full, "As an admin edited it") {
			t.Errorf("%s: it counts as edited: %q", name, full)
		}
	}
	if trail := w.admin.get("/trail").text("#trail"); strings.Count(trail, "reveal payload") != 1 {
		t.Errorf("the trail of who saw a secret: %q", trail)
	}
}

func TestAQueryIsEditedWhereItIsThePayload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhookOf(`{name: Ads, state: active, receive: {payload: query}, user: {by: email, path: user}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	w.settle()
	id := w.settledRequest(hook, "user=alice@example.com&coins=many", `{"coins":9}`).String()
	if got := w.admin.post("/dead-letters/replay", url.Values{"id": {id}, "edit": {"1"}}).Find("textarea").Text(); got != "user=alice@example.com&coins=many" {
		t.Errorf("to edit there is %q", got)
	}
}

func TestAPayloadThatIsTooLargeIsNotEditedHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	w.settle()
	id := w.settled(shop, `{"user":"alice@example.com","x":"`+strings.Repeat("x", 512<<10)+`"}`).String()
	if p := w.admin.post("/dead-letters/replay", url.Values{"id": {id}, "edit": {"1"}}); p.Find("textarea").Length() != 0 ||
		!strings.Contains(p.text("main"), "coinhook dlq replay "+id+" --edit") {
		t.Errorf("it says %q", p.text("main"))
	}
}

func TestDeadLettersAreDiscarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	w.settle()
	id := w.settled(shop, `{"user":"nobody@example.com","coins":1}`).String()
	address := "/dead-letters/discard?reason=user_not_found"
	question := w.admin.get(address)
	if question.text("h1") != "Discard 1 dead letter?" {
		t.Errorf("the question is %q", question.text("h1"))
	}
	form := url.Values{"reason": {"user_not_found"}, "seen": {question.seen()}}
	if p := w.admin.post("/dead-letters/discard", form); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("#note-problem"), "Say why") {
		t.Errorf("without a note: status %d, %q", p.status, p.text("[role=alert]"))
	}
	if file := w.admin.get("/dead-letters/export?reason=user_not_found"); strings.Count(file.body, "\n") != 1 || !strings.Contains(file.body, id) {
		t.Errorf("the export has %q", file.body)
	}
	form.Set("note", "a test")
	if text := w.ended(t, w.admin.post("/dead-letters/discard", form)); !strings.Contains(text, "Done. 1 discarded.") {
		t.Errorf("the run says %q", text)
	}
	if p := w.admin.get("/dead-letters"); p.Find("article.group").Length() != 0 {
		t.Error("it is still there")
	}
	if got := w.admin.get("/deliveries/" + id).text("article"); !strings.Contains(got, "Discardedby anna") || !strings.Contains(got, "a test") {
		t.Errorf("the delivery says %q", got)
	}
}

func TestADeliveryIsReverted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	shop := w.webhook("Shop")
	w.settle()
	id := w.settled(shop, `{"user":"alice@example.com","coins":50}`).String()
	address := "/deliveries/" + id + "/revert"
	plan := w.admin.get(address)
	if rows := cells(plan, "table tbody tr"); len(rows) != 1 || rows[0][2] != "50" || rows[0][3] != "0" {
		t.Errorf("the plan: %q", rows)
	}
	if p := w.admin.post(address, url.Values{"note": {" "}}); p.status != http.StatusUnprocessableEntity {
		t.Errorf("without a note: status %d", p.status)
	}
	if p := w.admin.post(address, url.Values{"note": {"it was a test"}, "allow-negative": {"1"}, "seen": {plan.seen()}}); p.status != http.StatusConflict {
		t.Errorf("other choices than the plan's: status %d", p.status)
	}
	form := url.Values{"note": {"it was a test"}, "seen": {plan.seen()}}
	if p := w.admin.post(address, form); p.status != http.StatusSeeOther {
		t.Errorf("status %d, %q", p.status, p.text("main"))
	}
	if p := w.admin.post(address, form); p.status != http.StatusConflict {
		t.Errorf("again: status %d, %q", p.status, p.text("main"))
	}
	if rows := cells(w.admin.get("/logs"), "#logs tbody tr"); len(rows) != 2 || rows[0][3] != "−50" || rows[0][5] != "Revert: Shop" {
		t.Errorf("the logs are %q", rows)
	}
}

// hidden are the fields of the page's POST form that nobody fills in, with the definition
// as it is now.
func hidden(p *page) url.Values {
	form := url.Values{"mapping": {"current"}}
	p.Find("main form[method=post] input[type=hidden], form[method=post][action^='/dead-letters'] input[type=hidden]").Each(func(_ int, input *goquery.Selection) {
		name, value := input.AttrOr("name", ""), input.AttrOr("value", "")
		if !slices.Contains(form[name], value) {
			form.Add(name, value)
		}
	})
	return form
}

func outcomeOf(t *testing.T, w *world, id delivery.ID) postgres.Outcome {
	t.Helper()
	o, err := w.Store.FindOutcome(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// A plan says first what will succeed, and that alone is run. What failed again is one
// click away.
func TestOnlyWhatWillSucceedIsReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	w.settle()
	late := w.settled(shop, `{"user":"late@example.com","coins":50}`)
	lost := w.settled(shop, `{"user":"nobody@example.com","coins":50}`)
	w.user("late@example.com")
	p := w.admin.get("/dead-letters")
	if got := p.Find("#groups [role=button]:not(.secondary):not(.danger)"); got.Length() != 1 || strings.Join(strings.Fields(got.Text()), " ") != "Plan a replay of all 2" {
		t.Fatalf("the main actions are %q", got.Text())
	}
	if got := p.text(".advice a"); got != "Add the user" {
		t.Errorf("the advice leads to %q", got)
	}
	address := p.Find("#groups [role=button]").First().AttrOr("href", "")
	plan := w.admin.get(address)
	if got := plan.text("form .actions button"); got != "Replay the 1 that will succeedReplay all 2Plan again with these choices" {
		t.Errorf("the buttons are %q", got)
	}
	run := w.admin.post("/dead-letters/replay", with(hidden(plan), "run", "succeeding"))
	if got := w.ended(t, run); !strings.Contains(got, "Replay of 1 dead letter") || !strings.Contains(got, "Done. 1 applied.") || strings.Contains(got, "failed again") {
		t.Errorf("the run says %q", got)
	}
	if got := outcomeOf(t, w, late); got.Replays != 1 || got.Status != delivery.Success {
		t.Errorf("the one that succeeds: %+v", got)
	}
	if got := outcomeOf(t, w, lost); got.Replays != 0 {
		t.Errorf("the other one was run again: %+v", got)
	}
	plan = w.admin.get(address)
	if got := plan.text("form .actions button"); got != "Replay 1 dead letter, though none will succeedPlan again with these choices" {
		t.Errorf("the buttons are %q", got)
	}
	run = w.admin.post("/dead-letters/replay", with(hidden(plan), "run", "1"))
	if got := w.ended(t, run); !strings.Contains(got, "Show the one that failed again") {
		t.Errorf("the run says %q", got)
	}
	failedAgain := w.admin.get(w.admin.get(run.header.Get("Location")).Find("#run a").First().AttrOr("href", ""))
	if rows := failedAgain.Find("tbody tr"); rows.Length() != 1 || rows.Find(`input[name="id"]`).AttrOr("value", "") != lost.String() {
		t.Errorf("failed again: %q", failedAgain.text("main"))
	}
}

// Dead letters are marked one by one, in their list and in Histories.
func TestMarkedDeadLettersAreReplayedAndDiscardedTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	shop := w.webhook("Shop")
	w.settle()
	good := w.settled(shop, `{"user":"alice@example.com","coins":50}`)
	ids := []delivery.ID{w.settled(shop, `{"user":"a@x","coins":1}`), w.settled(shop, `{"user":"b@x","coins":1}`), w.settled(shop, `{"user":"c@x","coins":1}`)}
	for path, boxes := range map[string]int{"/deliveries": 3, "/dead-letters/list": 3} {
		p := w.admin.get(path)
		if n := p.Find(`form [name="id"]`).Length(); n != boxes || p.Find(`[name="id"][value="`+good.String()+`"]`).Length() != 0 {
			t.Errorf("%s has %d boxes, want %d", path, n, boxes)
		}
		if got := p.Find(`[data-marked-bar] button.danger`).AttrOr("formaction", ""); got != "/dead-letters/discard" {
			t.Errorf("%s: the red button leads to %q", path, got)
		}
	}
	if p := w.signedIn("vera", admin.Viewer).get("/deliveries"); p.Find(`[name="id"], [data-mark-all]`).Length() != 0 {
		t.Error("a viewer can mark deliveries")
	}
	query := "?id=" + ids[0].String() + "&id=" + ids[2].String()
	w.user("a@x")
	plan := w.admin.get("/dead-letters/replay" + query)
	if got := w.ended(t, w.admin.post("/dead-letters/replay", with(hidden(plan), "run", "1"))); !strings.Contains(got, "1 applied, 1 failed again") {
		t.Errorf("the run says %q", got)
	}
	discard := w.admin.get("/dead-letters/discard?id=" + ids[1].String() + "&id=" + ids[2].String())
	if got := discard.text("form button.danger"); got != "Discard 2 dead letters" {
		t.Errorf("the button says %q", got)
	}
	w.ended(t, w.admin.post("/dead-letters/discard", with(hidden(discard), "note", "a test")))
	if rows := w.admin.get("/dead-letters/list").Find("tbody tr").Length(); rows != 0 {
		t.Errorf("%d dead letters are left", rows)
	}
	for path, lines := range map[string]int{"/dead-letters.csv": 1, "/users.csv": 3, "/users.csv?search=alice": 2} {
		if p := w.admin.get(path); strings.Count(p.body, "\r\n") != lines {
			t.Errorf("%s: %q", path, p.body)
		}
	}
}
