package webhook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
)

func TestCompile(t *testing.T) {
	t.Parallel()
	t.Run("a full definition", func(t *testing.T) {
		t.Parallel()
		rec := webhook.Record{ID: webhook.NewID(), Version: 3, Definition: fullDefinition()}
		w, err := webhook.Compile(rec, 17)
		if err != nil {
			t.Fatal(err)
		}
		if w.Revision != 17 || w.ID != rec.ID || w.Version != 3 {
			t.Errorf("the record is not kept: %+v", w)
		}
		p := w.Program
		if p.UserBy != webhook.ByEmail || p.User.Path.String() != "$['customer']['email']" || len(p.When) != 5 || len(p.Mappings) != 5 {
			t.Errorf("the program is not that of the definition: %+v", p)
		}
		// The user, the idempotency key, four conditions and three mappings read a
		// path each.
		if p.Slots != 9 || p.Key.Slot == webhook.NoSlot || p.Mappings[3].Field != "favourite_team" || p.When[4].Slot != webhook.NoSlot || p.Mappings[2].Slot != webhook.NoSlot {
			t.Errorf("slots are %d, %d, %d", p.Slots, p.When[4].Slot, p.Mappings[2].Slot)
		}
		if want := (webhook.CompiledLateUsers{MaxAge: 24 * time.Hour, MaxDeliveries: 100}); *p.LateUsers != want {
			t.Errorf("late users are %+v", p.LateUsers)
		}
		if want := (webhook.Number{Digits: "125", Exp: -1}); p.Mappings[2].Constant != want {
			t.Errorf("the constant is %+v", p.Mappings[2].Constant)
		}
		if want := (webhook.Number{Digits: "1", Exp: 1}); *p.Mappings[1].Times != want {
			t.Errorf("the factor is %+v", p.Mappings[1].Times)
		}
	})
	t.Run("equal paths share a slot", func(t *testing.T) {
		t.Parallel()
		def := fullDefinition()
		def.When = []webhook.Condition{{Path: "$['order'].coins", Equals: number("1")}}
		w, err := webhook.Compile(webhook.Record{Definition: def}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Program; got.When[0].Slot != got.Mappings[0].Slot || got.Slots != 5 {
			t.Errorf("the condition has slot %d, the mapping %d of %d", got.When[0].Slot, got.Mappings[0].Slot, got.Slots)
		}
	})
	t.Run("a draft has no program yet", func(t *testing.T) {
		t.Parallel()
		for _, def := range []webhook.Definition{{}, {Mappings: fullDefinition().Mappings}, {User: fullDefinition().User}} {
			if w, err := webhook.Compile(webhook.Record{Definition: def}, 1); err != nil || w.Program != nil {
				t.Errorf("got %+v, %v", w, err)
			}
		}
	})
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*webhook.Definition){
		"user.path: column 2":        func(d *webhook.Definition) { d.User = &webhook.UserRef{By: "email", Path: "a..b"} },
		"user.by: want email":        func(d *webhook.Definition) { d.User = &webhook.UserRef{By: "phone", Path: "a"} },
		"when[0]: a condition has":   func(d *webhook.Definition) { d.When = []webhook.Condition{{Path: "a"}} },
		"idempotency: want exactly":  func(d *webhook.Definition) { d.Idempotency = &webhook.Idempotency{} },
		"late_users.max_age: want":   func(d *webhook.Definition) { d.LateUsers.MaxAge = "soon" },
		"late_users.max_deliveries":  func(d *webhook.Definition) { d.LateUsers.MaxDeliveries = 0 },
		"mappings[0].value: a value": func(d *webhook.Definition) { d.Mappings[0].Value.Path = "" },
		"mappings[1].value.times":    func(d *webhook.Definition) { d.Mappings[1].Value.Times = "ten" },
	} {
		def := fullDefinition()
		change(&def)
		_, err := webhook.Compile(webhook.Record{ID: "wh_x", Definition: def}, 1)
		if err == nil || !strings.Contains(err.Error(), "webhook wh_x: "+want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		id := webhook.NewID()
		if !webhook.IsID(id) || seen[id] {
			t.Fatalf("%s is not a new id", id)
		}
		seen[id] = true
	}
	for _, id := range []string{"", "wh_", strings.ToUpper(webhook.NewID()), webhook.NewID() + "a", " " + webhook.NewID(), webhook.NewID() + "\n"} {
		if webhook.IsID(id) {
			t.Errorf("%q is taken for an id", id)
		}
	}
	if diff := cmp.Diff(29, len(webhook.NewID())); diff != "" {
		t.Error(diff)
	}
}
