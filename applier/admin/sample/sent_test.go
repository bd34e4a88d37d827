package sample_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestSentIsWhatTheMappingReads(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		payload           webhook.Payload
		query, body, want string
	}{
		{"", "a=1", "{}", "{}"},
		{webhook.PayloadForm, "a=1", "b=2", "b=2"},
		{webhook.PayloadQuery, "a=1", "{}", "a=1"},
		{webhook.PayloadQuery, "", "{}", "{}"}, // the sender has put it into the wrong part
		{"", "a=1", "", "a=1"},
	} {
		def := webhook.Definition{Receive: &webhook.Receive{Payload: tc.payload}}
		if got := sample.Sent(def, mapping.Input{Query: tc.query, Body: []byte(tc.body)}); string(got) != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}
