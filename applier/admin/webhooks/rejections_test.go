package webhooks_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/rejection"
)

type noteList []rejection.Note

func (l noteList) Rejections(context.Context, string) ([]rejection.Note, error) { return l, nil }

func note(minutesAgo int, code string, counted map[string]int64) rejection.Note {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC).Add(-time.Duration(minutesAgo) * time.Minute)
	return rejection.Note{Rejection: rejection.Rejection{At: at, Code: code}, Counted: counted}
}

// Counts have what was only counted, and obey --since. The limit bounds the details.
func TestRejectionsAreCountedByCode(t *testing.T) {
	t.Parallel()
	notes := noteList{
		note(1, "invalid_api_key", map[string]int64{"invalid_api_key": 40, "empty_body": 2}),
		note(2, "empty_body", nil),
		note(90, "rate_limited", map[string]int64{"rate_limited": 7}),
	}
	since := time.Date(2026, 1, 2, 11, 0, 0, 0, time.UTC)
	got, err := webhooks.ListRejections(t.Context(), notes, "", since, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := webhooks.Rejections{Counts: map[string]int64{"invalid_api_key": 41, "empty_body": 3}, Last: []rejection.Rejection{notes[0].Rejection}}
	want.Last[0].Headers = []delivery.Header{} // programs read a list, also of a request that had none
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rejections (-want +got):\n%s", diff)
	}
	if got, _ := webhooks.ListRejections(t.Context(), noteList(nil), "", since, 1); got.Counts == nil || got.Last == nil {
		t.Errorf("none = %+v: programs read an object and a list", got)
	}
}

// The broker drops notes beyond a hundred: then the counts say when they begin.
func TestRejectionsSayWhereTheirCountsBegin(t *testing.T) {
	t.Parallel()
	var notes noteList
	for n := range 100 {
		notes = append(notes, note(n, "empty_body", nil))
	}
	for _, test := range []struct {
		notes noteList
		since int
		from  time.Time
	}{
		{notes, 120, notes[99].At},
		{notes, 50, time.Time{}},
		{notes[:99], 120, time.Time{}},
	} {
		since := note(test.since, "", nil).At
		if got, err := webhooks.ListRejections(t.Context(), test.notes, "", since, 10); err != nil || !got.From.Equal(test.from) {
			t.Errorf("%d notes since %s begin at %s, want %s (%v)", len(test.notes), since, got.From, test.from, err)
		}
	}
}
