package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
)

// A new mapping changes nothing until somebody says what: XP is no guess.
func TestANewMappingHasNoCurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhookOf(`{name: Shop, auth: {}}`)
	address := "/webhooks/" + hook.ID
	p := w.admin.post(address, with(fields(w.admin.get(address)), "user_path", "user", "do", "add-mapping"))
	if chosen := p.Find(`[name="mappings.0.target"] option[selected]`); chosen.AttrOr("value", "?") != "" {
		t.Errorf("a new mapping changes %q", chosen.AttrOr("value", "?"))
	}
	p = w.admin.post(address, with(fields(p), "mappings.0.value", "coins", "do", "activate"))
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text(`[id="mappings.0.target-error"]`), "A currency is missing") {
		t.Errorf("%d: %s", p.status, p.text("#problems"))
	}
	if now := w.reread(hook.ID); now.Version != 1 {
		t.Errorf("version %d was saved", now.Version)
	}
}

// A custom field is set, so that nothing else is asked about it.
func TestAMappingOfACustomFieldAsksForItsValueOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.Store.SetField(t.Context(), "default", applier.Field{Name: "favourite_team", Type: applier.Text}); err != nil {
		t.Fatal(err)
	}
	hook := w.webhookOf(`{name: Shop, state: active, auth: {}, user: {by: email, path: user},
mappings: [{field: favourite_team, value: {path: team}}, {currency: coins, operator: add, value: {path: coins}}]}`)
	address := "/webhooks/" + hook.ID
	p := w.admin.get(address + "/mapping")
	shown := func(row int, part string) bool {
		rows := p.Find("fieldset.mapping")
		_, hidden := rows.Eq(row).Find(`[name$=".` + part + `"]`).Closest(".cell").Attr("hidden")
		return !hidden
	}
	for _, part := range []string{"operator", "times", "round", "signed"} {
		if shown(0, part) || !shown(1, part) {
			t.Errorf("%s is shown of the custom field: %v, of the currency: %v", part, shown(0, part), shown(1, part))
		}
	}
	if got := p.Find(`optgroup[label="Custom fields"] option`).First().Text(); got != "favourite_team" {
		t.Errorf("the custom field is called %q", got)
	}
	// A currency becomes a custom field: the rest of its row does not count.
	p = w.admin.post(address, with(fields(p), "mappings.1.target", "field:favourite_team", "mappings.1.times", "2", "do", "remove-mapping.0"))
	p = w.admin.post(address, with(fields(p), "do", "save"))
	if p.Find("#review").Length() != 1 {
		t.Errorf("%d: %s", p.status, p.text("#problems"))
	}
}

// A payload that is pasted and is none is answered where it was pasted.
func TestBadJSONIsAnsweredWhereItWasPasted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := "/webhooks/" + w.webhookOf(`{name: Shop, auth: {}}`).ID
	form := fields(w.admin.get(address))
	for payload, want := range map[string]string{
		"{\n  \"a\": 1,\n  \"b\": }":     "Line 3, column 8: ",
		`{"a": 1} {"b": 2}`:              "more after the end",
		"{\"a\": 1,\n\"a\": 2}":          "Line 2, column 1: ",
		"{\n \"user\": {\"id\": \"x\"}}": "",
	} {
		p := w.admin.post(address, with(form, "payload", payload, "do", "show"))
		got := p.text("#payload-error")
		if (got != "") != (want != "") || !strings.Contains(got, want) || (p.Find("#pasted .tree").Length() == 1) != (want == "") {
			t.Errorf("%q: %q, want %q, and a tree only of a payload", payload, got, want)
		}
	}
}

// The list of several values shows all of them.
func TestTheFieldOfSeveralValuesGrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhookOf(`{name: Shop, auth: {}, when: [{path: type, in: [paid, shipped, delivered]}]}`)
	if got := w.admin.get("/webhooks/"+hook.ID).Find(`[name="when.0.value"]`).AttrOr("rows", ""); got != "4" {
		t.Errorf("three values have %s rows, want one more than they are", got)
	}
}
