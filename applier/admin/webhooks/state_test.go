package webhooks_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// A definition without `state` never stops a webhook and never starts one.
func TestApplyWithoutState(t *testing.T) {
	t.Parallel()
	const one = "name: Shop\nuser: {by: email, path: e}\nmappings:\n  - {currency: xp, operator: add, value: {path: xp}}\n"
	const other = "name: Shop\nuser: {by: email, path: mail}\nmappings:\n  - {currency: xp, operator: add, value: {path: xp}}\n"
	for first, want := range map[string]webhook.State{
		"": webhook.Draft, "state: draft\n": webhook.Draft, "state: active\n": webhook.Active, "state: paused\n": webhook.Paused, "state: disabled\n": webhook.Disabled,
	} {
		t.Run(string(want)+" "+strings.TrimSpace(first), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			apply := func(src string) webhooks.Saved {
				t.Helper()
				def, err := d.ParseIn(t.Context(), []byte(src), "default")
				if err != nil {
					t.Fatal(err)
				}
				saved, err := d.Apply(t.Context(), def)
				if err != nil {
					t.Fatal(err)
				}
				return saved
			}
			apply(first + one)
			if again := apply(one); again.State != want || again.Change != webhooks.Unchanged {
				t.Errorf("applied again it is %s, %s; want %s, unchanged", again.State, again.Change, want)
			}
			if changed := apply(other); changed.State != want || changed.Change != webhooks.Updated {
				t.Errorf("changed it is %s, %s; want %s, updated", changed.State, changed.Change, want)
			}
		})
	}
}

// A definition that is wrong for the state that its webhook keeps is refused.
func TestAFileWithoutStateIsCheckedForTheStateThatStays(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const mapped = "name: Shop\nstate: active\nuser: {by: email, path: e}\nmappings:\n  - {currency: xp, operator: add, value: {path: xp}}\n"
	def, err := d.ParseIn(t.Context(), []byte(mapped), "default")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Apply(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	def, err = d.ParseIn(t.Context(), []byte("name: Shop\nuser: {by: email, path: e}"), "default")
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Plan(t.Context(), def)
	if err == nil || !strings.Contains(err.Error(), "the webhook is active, and the file leaves that as it is") || !strings.Contains(err.Error(), "needs at least one mapping") {
		t.Errorf("got %v", err)
	}
}

func TestAPlanTellsAChangeOfState(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	plan := func(src string) webhooks.Planned {
		t.Helper()
		def, err := d.ParseIn(t.Context(), []byte("name: Shop\nuser: {by: email, path: e}\nmappings:\n  - {currency: xp, operator: add, value: {path: xp}}\n"+src), "default")
		if err != nil {
			t.Fatal(err)
		}
		p, err := d.Plan(t.Context(), def)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := plan("state: active")
	if _, _, changes := p.StateChange(); changes {
		t.Error("a new webhook changes its state")
	}
	if _, err := d.ApplyPlanned(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if _, _, changes := plan("").StateChange(); changes {
		t.Error("a file without a state changes it")
	}
	down := plan("state: draft")
	if from, to, changes := down.StateChange(); !changes || from != webhook.Active || to != webhook.Draft {
		t.Errorf("from %s to %s: %t", from, to, changes)
	}
	if !strings.Contains(down.Diff, "-state: active\n+state: draft\n") {
		t.Errorf("the difference has no line of the state:\n%s", down.Diff)
	}
}

// TestAnActiveMappingThatCannotSucceedIsRefused: with its line, and by enabling, too.
func TestAnActiveMappingThatCannotSucceedIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const src = "name: Shop\nuser: {by: email, path: e}\nmappings:\n  - {currency: coins, operator: add, value: {constant: 1e19}}\n"
	if _, err := d.ParseIn(t.Context(), []byte("state: active\n"+src), "default"); err == nil || !strings.Contains(err.Error(), "line 5: mappings[0].value.constant: no delivery can succeed: The constant 1e19") {
		t.Errorf("applied as active: %v", err)
	}
	def, err := d.ParseIn(t.Context(), []byte(src), "default")
	if err != nil {
		t.Fatalf("a draft is refused: %v", err)
	}
	saved, err := d.Apply(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.SetState(t.Context(), saved.Saved, webhook.Active); err == nil || !strings.Contains(err.Error(), "no delivery can succeed") {
		t.Errorf("enabled: %v", err)
	}
}
