package cli_test

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// shownJSON is what programs read of one delivery.
type shownJSON struct {
	deliveryJSON
	Path          *string
	Replays       int
	Redacted      bool
	EditedPayload *string `json:"edited_payload"`
	Executions    []executionJSON
	Discards      []struct {
		By   string  `json:"discarded_by"`
		Note *string `json:"note"`
		At   time.Time
	}
}

type executionJSON struct {
	ID          string
	Cause       string
	RequestedBy *string    `json:"requested_by"`
	RequestedAt *time.Time `json:"requested_at"`
	Note        *string
	Version     int
	Effect      bool
	Status      string
	Outcome     *string
	Reason      *string
	Detail      *string
	Path        *string
	Edited      bool
	Attempts    int
	At          time.Time
}

func (i *installation) execute(statement string, args ...any) {
	i.t.Helper()
	db, err := sql.Open("postgres", i.env["DATABASE_OWNER_URL"])
	if err != nil {
		i.t.Fatal(err)
	}
	defer db.Close() // nothing was left open
	if _, err := db.ExecContext(i.t.Context(), statement, args...); err != nil {
		i.t.Fatal(err)
	}
}

func TestSecretsAreShownWhenAskedFor(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	const payload, clean = `{"coins" : 1.0, "password":"hunter2"}`, `{"coins" : 1.0, "password":"[redacted]"}`
	id := i.publish(shop.ID, 0, payload).String()
	i.settleAll()
	i.execute(`UPDATE dead_letters SET headers = '[{"name":"X-Auth-Token","value":"hunter3"}]', edited = 'token=hunter4'`)

	for _, tc := range []struct {
		args    string
		secrets bool
	}{
		{"dlq show", false},
		{"dlq show --reveal", true},
		{"dlq show -o json", false},
		{"dlq show --reveal -o json", true},
		{"deliveries show", false},
		{"deliveries show --reveal", true},
		{"deliveries show -o json", true},
	} {
		r := i.run(append(strings.Fields(tc.args), id)...)
		if r.code != 0 {
			t.Fatalf("%s: %+v", tc.args, r)
		}
		for _, secret := range []string{"hunter2", "hunter3", "hunter4"} {
			if strings.Contains(r.stdout, secret) != tc.secrets {
				t.Errorf("%s: %s", tc.args, r.stdout)
			}
		}
		isTable := !strings.Contains(tc.args, "json")
		if said := strings.Contains(r.stderr, "--reveal shows them"); said != (isTable && !tc.secrets) {
			t.Errorf("%s said %q", tc.args, r.stderr)
		}
	}
	var shown shownJSON
	i.json(&shown, "dlq", "show", id)
	if !shown.Redacted || *shown.Payload != clean || shown.Headers[0].Value != "[redacted]" || *shown.EditedPayload != "token=[redacted]" {
		t.Errorf("shown as %+v", shown)
	}
	i.json(&shown, "deliveries", "show", id)
	if shown.Redacted || *shown.Payload != payload || *shown.EditedPayload != "token=hunter4" {
		t.Errorf("shown to programs as %+v", shown)
	}
}

func TestADeliveryIsShownWithItsExecutions(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	id := i.publish(shop.ID, 0, `{"customer":{"email":"bob@example.com"},"coins":1}`).String()
	i.settleAll()

	var shown shownJSON
	i.json(&shown, "dlq", "show", id)
	if len(shown.Executions) != 1 || shown.Discards == nil || shown.Replays != 0 {
		t.Fatalf("before it is replayed: %+v", shown)
	}
	want := executionJSON{
		ID: id, Cause: "delivery", Version: 1, Effect: true, Status: "failed", Reason: shown.Reason, Detail: shown.Detail, Path: shown.Path,
		Attempts: 1, At: shown.Executions[0].At,
	}
	if diff := cmp.Diff(want, shown.Executions[0]); diff != "" || *shown.Reason != "user_not_found" || *shown.Path != "customer.email" {
		t.Error(diff, shown)
	}

	// It fails again, succeeds with an edited payload, and is replayed once more.
	first, edited, noop := delivery.NewID(), delivery.NewID(), delivery.NewID()
	const columns = `INSERT INTO executions (delivery_id, execution_id, cause, requested_by, requested_at, note, effect, version, status, outcome, reason,
		edited, original, stream_epoch, stream_sequence, stream_index, attempts, at) VALUES `
	i.execute(columns+`($1, $1, 'delivery', NULL, NULL, NULL, true, 1, 'failed', NULL, 'user_not_found', NULL, NULL, 1, 1, 0, 1, now()),
		($1, $2, 'bulk', 'anna@office', now(), 'once more', true, 2, 'failed', NULL, 'internal', NULL, NULL, 1, 2, 0, 3, now() + interval '1s'),
		($1, $3, 'manual', 'bert', now(), NULL, true, 2, 'success', 'applied', NULL, 'edited bytes', 'original bytes', 1, 3, 0, 1, now() + interval '2s'),
		($1, $4, 'manual', 'bert', now(), NULL, false, 2, 'success', 'applied', NULL, NULL, NULL, 1, 4, 0, 1, now() + interval '3s')`,
		id, first.String(), edited.String(), noop.String())
	i.execute(`DELETE FROM dead_letters`)
	i.execute(`UPDATE outcomes SET status = 'success', outcome = 'applied', reason = NULL, detail = NULL, replays = 3`)
	for _, command := range []string{"dlq", "deliveries"} {
		shown = shownJSON{}
		i.json(&shown, command, "show", id)
		if shown.Status != "success" || shown.Replays != 3 || len(shown.Executions) != 4 || *shown.Payload != "original bytes" || *shown.EditedPayload != "edited bytes" ||
			len(shown.Headers) != 1 {
			t.Errorf("%s show: %+v", command, shown)
		}
		if e := shown.Executions[1]; e.ID != first.String() || e.Cause != "bulk" || *e.RequestedBy != "anna@office" || e.RequestedAt == nil || *e.Note != "once more" || e.Edited {
			t.Errorf("%s show: the replay is %+v", command, e)
		}
		table := i.run(command, "show", id).stdout
		for _, want := range []string{
			"first delivery: failed, user_not_found, by version 1, 1 attempt\n", "replay of many by anna@office at 2", ": failed again, internal, by version 2, 3 attempts\n      once more\n",
			"replay by bert at 2", ": applied, by version 2, 1 attempt, with an edited payload\n", ": no-op, it was applied already\n", "edited payload, run instead\nedited bytes",
		} {
			if !strings.Contains(table, want) {
				t.Errorf("%s show lacks %q:\n%s", command, want, table)
			}
		}
	}
}

func TestADiscardedDeliveryIsShown(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	letter := newLetter(func(d *postgres.FullDeadLetter) { d.Body.Payload = []byte("\xff") })
	i.bring(letter)
	i.env["COINHOOK_USER"], i.env["USER"], i.env["SUDO_USER"] = "", "root", "bert"
	i.json(&map[string]any{}, "dlq", "discard", letter.ID.String(), "--note", "a test")
	var shown shownJSON
	i.json(&shown, "dlq", "show", letter.ID.String())
	if len(shown.Discards) != 1 || !strings.HasPrefix(shown.Discards[0].By, "bert@") || *shown.Discards[0].Note != "a test" || shown.Discards[0].At.IsZero() ||
		shown.Status != "failed" || shown.Payload != nil || shown.Headers == nil {
		t.Errorf("shown as %+v", shown)
	}
	r := i.run("deliveries", "show", letter.ID.String())
	if !strings.Contains(r.stdout, "\ndiscarded\n  2") || !strings.Contains(r.stdout, "by bert@") || !strings.Contains(r.stdout, ": a test\n") || !strings.Contains(r.stdout, "no longer in the stream") {
		t.Errorf("shown as\n%s", r.stdout)
	}
	if r := i.run("dlq", "show", delivery.NewID().String()); r.code != 1 {
		t.Errorf("an unknown one: %+v", r)
	}
	if r := i.run("dlq", "show", "x"); r.code != 2 {
		t.Errorf("no id: %+v", r)
	}
}
