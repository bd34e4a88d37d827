package mapping_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is made of old records now; only for a new file")

// oldRecord is a record as an earlier version saved it, byte for byte, and what that
// version made of payloads.
type oldRecord struct {
	Record json.RawMessage `json:"record"`
	Cases  []oldCase       `json:"cases"`
}

type oldCase struct {
	Body    string            `json:"body"`
	Headers map[string]string `json:"headers"`
	Answer  json.RawMessage   `json:"answer"`
}

// TestOldRecordsMeanWhatTheyMeant: the answers were written by the version before
// lookups, lists and comparisons.
func TestOldRecordsMeanWhatTheyMeant(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/old-records/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no old records: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var old oldRecord
			if err := json.Unmarshal(text, &old); err != nil {
				t.Fatal(err)
			}
			rec, err := webhook.ReadRecord(old.Record)
			if err != nil {
				t.Fatal(err)
			}
			checkSavedAlike(t, rec, old.Record)
			w, err := webhook.Compile(rec, 1)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range old.Cases {
				got := answerOf(t, w, c)
				if *update {
					old.Cases[i].Answer = got
				} else if diff := cmp.Diff(indented(t, c.Answer), indented(t, got)); diff != "" {
					t.Errorf("%s (-then +now):\n%s", c.Body, diff)
				}
			}
			if *update {
				writeOldRecord(t, name, old)
			}
		})
	}
}

// checkSavedAlike: saved again, an old record must not change.
func checkSavedAlike(t *testing.T, rec webhook.Record, text json.RawMessage) {
	t.Helper()
	again, err := json.Marshal(rec)
	if diff := cmp.Diff(indented(t, text), indented(t, again)); err != nil || diff != "" {
		t.Errorf("saved again it differs (-then +now): %v\n%s", err, diff)
	}
	if err := webhook.CheckWritable(text); err != nil {
		t.Errorf("it is not writable: %v", err)
	}
	if rec.Format != rec.LeastFormat() {
		t.Errorf("saved again its format is %d, and was %d", rec.LeastFormat(), rec.Format)
	}
}

func answerOf(t *testing.T, w *webhook.Webhook, c oldCase) json.RawMessage {
	t.Helper()
	header := func(name string) (string, bool) {
		value, ok := c.Headers[name]
		return value, ok
	}
	plan, failure := evaluate(w, []byte(c.Body), header)
	answer := map[string]any{"skip": plan.Skip, "user": plan.User, "changes": plan.Changes, "fields": plan.Fields}
	if k := plan.Key; k != nil {
		answer["key"] = fmt.Sprintf("%x of %x at %s %q", k.Hash, k.Body, k.Where, k.Path)
	}
	if failure != nil {
		answer["failure"] = failure
	}
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func indented(t *testing.T, text json.RawMessage) string {
	t.Helper()
	var tree any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out, err := json.MarshalIndent(tree, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func writeOldRecord(t *testing.T, name string, old oldRecord) {
	t.Helper()
	out, err := json.MarshalIndent(old, "", "  ")
	if err == nil {
		err = os.WriteFile(name, append(out, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
