package webhook_test

import (
	"testing"

	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// The definitions that `webhooks presets` prints are a start: they must be accepted
// as they are.
func TestPresetsPrintDefinitionsThatAreAccepted(t *testing.T) {
	t.Parallel()
	for _, name := range signature.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			preset, _ := signature.Find(name)
			def, err := webhook.Parse([]byte(preset.Definition))
			if err != nil {
				t.Fatal(err)
			}
			_, err = webhook.Compile(webhook.Record{Definition: def}, 1)
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
