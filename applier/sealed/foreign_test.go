package sealed_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestBodiesMadeByOthers(t *testing.T) {
	t.Parallel()
	payload := testdata(t, "payload.json")
	for _, b := range foreignBodies(t, testdata(t, "foreign.jsonl")) {
		t.Run(string(b.Mode)+" "+b.By, func(t *testing.T) {
			t.Parallel()
			opens(t, b.Mode, b.Body, payload)
			other := webhook.CBC
			if b.Mode == webhook.CBC {
				other = webhook.GCM
			}
			fails(t, b.Body, newKey(t, other, aesKey))
		})
	}
}

// The openssl and Node of this machine make what the committed bodies are.
func TestOthersStillMakeTheSameBodies(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sh", "openssl", "node", "od", "tr", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed, so that only the committed bodies were tested", tool)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"make.sh", "payload.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), testdata(t, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(dir, "make.sh")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	made, err := os.ReadFile(filepath.Join(dir, "foreign.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	payload := testdata(t, "payload.json")
	for _, b := range foreignBodies(t, made) {
		opens(t, b.Mode, b.Body, payload)
	}
	if string(made) != string(testdata(t, "foreign.jsonl")) {
		t.Error("the bodies are not those of testdata/foreign.jsonl: run make.sh there")
	}
}
