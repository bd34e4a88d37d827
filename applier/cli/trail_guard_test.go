package cli

import (
	"slices"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/coinhook/coinhook/applier/admin/access/trailtest"
)

// A command that changes something, or shows what others do not see, records it. A new
// command needs a line in records, and calls record as that line says.
func TestEveryCommandRecordsAsItSays(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	source := trailtest.Parse(t)
	known := map[string]bool{}
	for _, leaf := range parser.Model.Leaves(false) {
		path := pathOf(leaf)
		known[path] = true
		what, ok := records[path]
		if !ok {
			t.Errorf("records in trail.go does not say what `coinhook %s` records", path)
			continue
		}
		does := source.Records(leaf.Target.Type().Name() + ".Run")
		if what == showsPayload {
			what = "showsPayload" // the constant
		}
		switch {
		case what != "" && !does[what]:
			t.Errorf("`coinhook %s` does not record %q: it records %v", path, what, does)
		case what == "" && len(does) > 0:
			t.Errorf("`coinhook %s` records %v: say so in records", path, does)
		}
	}
	for path := range records {
		if !known[path] {
			t.Errorf("records names `coinhook %s`, which is no command", path)
		}
	}
}

func TestWordsLeaveOutPasswords(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"dlq", "discard", "--database-url", "postgres://u:p@h/d", "--all"},
		{"dlq", "discard", "--database-url=postgres://u:p@h/d", "--nats-url=nats://u:p@h", "--all"},
		{"--nats-url", "nats://u:p@h", "dlq", "discard", "--all"},
	} {
		a := &app{Process: Process{Args: slices.Clone(args)}}
		if got := a.words(); got != "dlq discard --all" {
			t.Errorf("%v: %q", args, got)
		}
	}
}
