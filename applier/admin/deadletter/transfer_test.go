package deadletter_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// odd are letters with all that is hard to carry.
func odd() []postgres.FullDeadLetter {
	payloads := [][]byte{
		[]byte("<a> & \u2028 \x00 \"\\ \n"), []byte("\xff\xfe bytes"), {}, []byte(strings.Repeat("long ", 200_000)), []byte(`{"n":1.50e+2}`),
	}
	var letters []postgres.FullDeadLetter
	for _, p := range payloads {
		letters = append(letters, newLetter(func(d *postgres.FullDeadLetter) {
			d.Body.Payload = p
			d.Body.Headers = append(d.Body.Headers, delivery.Header{Name: "X-Odd", Value: "<\x00\">\u2028"}, delivery.Header{Name: "X-Odd"})
		}))
	}
	replayed := newLetter(func(d *postgres.FullDeadLetter) {
		d.Reason, d.UserBy, d.UserKey, d.User = new(delivery.UserNotFound), "email", "bob@example.com", &admin.User{ID: delivery.NewID()}
		d.Replays, d.Path, d.Detail = 2, nil, new("")
		d.Body.Edited, d.Body.Headers = []byte{}, nil
		d.Executions = []postgres.Execution{
			{ID: d.ID, Effect: true, Version: 1, Status: delivery.Failed, Reason: delivery.Internal, Detail: "d", Path: "p", Attempts: 1, At: d.ReceivedAt},
			{
				ID: delivery.NewID(), Cause: delivery.UserFound, RequestedBy: "anna", RequestedAt: d.ReceivedAt, Note: "n", Effect: true,
				Version: 2, Status: delivery.Failed, Reason: delivery.UserNotFound, Edited: []byte("\xff"), Attempts: 2, At: d.FailedAt,
			},
			{ID: delivery.NewID(), Cause: delivery.Bulk, Version: 3, Status: delivery.Success, Outcome: delivery.Applied, Original: []byte{}, Attempts: 1, At: d.FailedAt},
		}
	})
	malformed := newLetter(func(d *postgres.FullDeadLetter) {
		d.Reason, d.WebhookID, d.Webhook, d.Community, d.Version = new(delivery.MalformedDelivery), "", "", "", 0
	})
	return append(letters, replayed, malformed)
}

func TestAnExportBringsEverythingBack(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	letters := odd()
	bring(t, s, letters...)
	file := exported(t, s)
	if n := strings.Count(file, "\n"); n != len(letters) {
		t.Fatalf("%d lines, want %d", n, len(letters))
	}
	if n := discardAll(t, s); n != len(letters) {
		t.Fatalf("%d discarded", n)
	}
	if left := exported(t, s); left != "" {
		t.Fatalf("left after all were discarded: %s", left)
	}
	done, bad := imported(t, s, file)
	if diff := cmp.Diff(deadletter.Imported{Line: len(letters), Restored: len(letters)}, done); diff != "" || bad != nil {
		t.Fatal(bad, diff)
	}
	if again := exported(t, s); again != file {
		t.Errorf("exported again it is\n%.2000s\nand was\n%.2000s", again, file)
	}

	elsewhere, _ := postgrestest.Open(t, postgres.Options{})
	done, bad = imported(t, elsewhere, file)
	if diff := cmp.Diff(deadletter.Imported{Line: len(letters), Added: len(letters)}, done); diff != "" || bad != nil {
		t.Fatal(bad, diff)
	}
	if again := exported(t, elsewhere); again != file {
		t.Errorf("exported elsewhere it is\n%.2000s\nand was\n%.2000s", again, file)
	}
	done, _ = imported(t, elsewhere, file)
	if done.Known != len(letters) {
		t.Errorf("imported twice: %+v", done)
	}
}

func TestAnExportIsOldestFirstAndNarrowed(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	letters := newLetters(1700) // more than a page and several chunks
	letters[7].Reason = new(delivery.Internal)
	bring(t, s, letters...)
	at := 0
	for line := range strings.Lines(exported(t, s)) {
		if want := `{"id":"` + letters[at].ID.String() + `",`; !strings.HasPrefix(line, want) {
			t.Fatalf("line %d is %s", at+1, line)
		}
		at++
	}
	var out bytes.Buffer
	n, err := deadletter.New(s).Export(t.Context(), &out, postgres.DeadLetterFilter{Reason: delivery.Internal}, func(int) {})
	if n != 1 || err != nil || !strings.Contains(out.String(), letters[7].ID.String()) {
		t.Errorf("narrowed: %d, %v", n, err)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestAnExportThatCannotBeWrittenFails(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	bring(t, s, newLetter())
	if _, err := deadletter.New(s).Export(t.Context(), full{}, postgres.DeadLetterFilter{}, func(int) {}); err == nil {
		t.Error("no error")
	}
}

func TestABadLineIsSaidAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	good := newLetter()
	bring(t, s, good)
	line := strings.TrimSpace(exported(t, s))
	discardAll(t, s)
	with := func(old, new string) string {
		if !strings.Contains(line, old) {
			t.Fatalf("the line lacks %s: %s", old, line)
		}
		return strings.Replace(line, old, new, 1)
	}
	const otherSum = `"payload_sha256":"0000000000000000000000000000000000000000000000000000000000000000"`
	_, sum, _ := strings.Cut(line, `"payload_sha256":`)
	sum = `"payload_sha256":` + sum[:66]
	big := strings.Repeat("x", broker.MaxBodyBytes+1)
	bigSum := fmt.Sprintf(`"payload_sha256":"%x"`, sha256.Sum256([]byte(big)))
	again := `{"id":"` + delivery.NewID().String() + `","cause":"manual","effect":true,"version":1,"status":"failed","attempts":1,"at":"2026-01-01T00:00:00Z"}`
	for _, tc := range []struct{ line, problem string }{
		{`not JSON`, "not JSON at byte"},
		{line[:len(line)/2], "was the file cut"},
		{line + line, "not JSON at byte"},
		{`[]`, "not of the kind"},
		{`{}`, "the id is missing"},
		{with(`"version"`, `"unknown":1,"version"`), `"/unknown" is not a member`},
		{with(`"version"`, `"Version"`), `"/Version" is not a member`},
		{with(`"version":3`, `"version":3,"version":3`), `"/version" is there twice`},
		{with(`"version":3`, `"version":"3"`), `the value at "/version" is not of the kind`},
		{with(`"version":3`, `"version":-3`), "0 to 2147483647"},
		{with(`"id":"0`, `"id":"x`), `the value at "/id" is not a delivery id`},
		{with(`"`+shop, `"wh_x`), "not a webhook's id"},
		{with(`"missing_field"`, `"bad_luck"`), `"bad_luck" is not a reason`},
		{with(`"received_at":"2`, `"received_at":"`), `the value at "/received_at" is not of the kind`},
		{with(`"received_at":"20`, `"received_at":"21`), "is in the future: was the file edited, or is a clock wrong?"},
		{with(`"failed_at":"20`, `"failed_at":"98`), "is in the future"},
		{with(`"id":"0`, `"id":"7`), "the id says that it was made at"},
		{with(`"executions":[]`, `"executions":[{"id":"`+good.ID.String()+`","cause":"delivery","effect":true,"version":1,"status":"failed","attempts":1,"at":"2126-01-01T00:00:00Z"}]`), "the time 2126-01-01T00:00:00Z is in the future"},
		{with(`"executions":[]`, `"executions":[{"id":"`+good.ID.String()+`","cause":"delivery","requested_at":"2126-01-01T00:00:00Z","effect":true,"version":1,"status":"failed","attempts":1,"at":"2026-01-01T00:00:00Z"}]`), "the time 2126-01-01T00:00:00Z is in the future"},
		{with(`"failed_at"`, `"user_by":"email","failed_at"`), "go together"},
		{with(`"failed_at"`, `"user_by":"shoe","user_key":"x","failed_at"`), "none of email, username"},
		{with(`{\"order\":{}}`, `{\"order\":[]}`), "payload_sha256 is not that of the payload"},
		{with(sum, otherSum), "payload_sha256 is not that of the payload"},
		{strings.Replace(with(sum, bigSum), `{\"order\":{}}`, big, 1), "bytes that fit into a message"},
		{with(`"executions":[]`, `"executions":[`+again+`,`+again+`]`), "it is there twice"},
		{with(`"payload"`, `"payload_base64":"eA==","payload"`), "both payload and payload_base64"},
		{with(`"payload":"{\"order\":{}}",`, ``), "neither payload nor"},
		{with(`"executions":[]`, `"executions":[{"id":"`+good.ID.String()+`","cause":"whim","effect":true,"version":1,"status":"failed","attempts":1,"at":"2026-01-01T00:00:00Z"}]`), `"whim" is not a cause`},
		{with(`"executions":[]`, `"executions":[{"id":"`+delivery.NewID().String()+`","cause":"delivery","effect":true,"version":1,"status":"failed","attempts":1,"at":"2026-01-01T00:00:00Z"}]`), "the first execution"},
	} {
		other := newLetter()
		bring(t, s, other)
		next := strings.TrimSpace(exported(t, s))
		discardAll(t, s)
		done, bad := imported(t, s, "\n"+tc.line+"\n"+next)
		if done.Bad != 1 || done.Restored != 1 || done.Line != 3 || len(bad) != 1 || bad[0].Line != 2 || !strings.Contains(bad[0].Problem, tc.problem) {
			t.Errorf("%.80s: %+v, %+v, want %q", tc.line, done, bad, tc.problem)
		}
		if len(bad) == 1 && strings.Contains(bad[0].Problem, "order") {
			t.Errorf("the payload is quoted: %s", bad[0].Problem)
		}
		discardAll(t, s)
	}
	if left := exported(t, s); left != "" {
		t.Errorf("a bad line was imported: %s", left)
	}
}

func TestALineOfAnotherDeliveryWithTheSameID(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	letter := newLetter()
	bring(t, s, letter)
	elsewhere, _ := postgrestest.Open(t, postgres.Options{})
	letter.Body.Payload = []byte("another")
	bring(t, elsewhere, letter)
	done, bad := imported(t, s, exported(t, elsewhere))
	if done.Bad != 1 || len(bad) != 1 || !strings.Contains(bad[0].Problem, "with another webhook or payload") {
		t.Errorf("%+v, %+v", done, bad)
	}
}

// The database refuses one letter for a reason that nobody foresaw.
func TestALineThatTheDatabaseRefusesKeepsNoOtherOut(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	letters := newLetters(40)
	bring(t, s, letters...)
	file := exported(t, s)
	discardAll(t, s)
	execute(t, db, fmt.Sprintf(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.delivery_id = '%s' THEN RAISE 'not this one'; END IF; RETURN NEW; END $$`, letters[11].ID))
	execute(t, db, "CREATE TRIGGER refuse BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION refuse()")
	done, bad := imported(t, s, file)
	if done.Restored != len(letters)-1 || done.Bad != 1 || len(bad) != 1 || bad[0].Line != 12 {
		t.Errorf("%+v, %+v", done, bad)
	}
}

func TestTheSameLineTwiceInAFile(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	bring(t, s, newLetter())
	file := exported(t, s)
	discardAll(t, s)
	if done, _ := imported(t, s, file+file+file); done.Restored != 1 || done.Known != 2 {
		t.Errorf("%+v", done)
	}
}

func TestAnImportGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	bring(t, s, newLetters(1200)...)
	file := exported(t, s)
	discardAll(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	note := func(b deadletter.BadLine) error { return &b }
	done, err := deadletter.New(s).Import(ctx, deadletter.NewReader(strings.NewReader(file)), note, func(deadletter.Imported) { cancel() })
	if err == nil || done.Restored != 500 || done.Line != 500 {
		t.Fatalf("interrupted at %+v, %v", done, err)
	}
	if done, _ := imported(t, s, file); done.Known != 500 || done.Restored != 700 {
		t.Errorf("went on with %+v", done)
	}
}
