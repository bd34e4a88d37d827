package history_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestTheSearchOfALongBacklogIsBounded: an id leads to its message, and one that is
// not there costs no more than that.
func TestTheSearchOfALongBacklogIsBounded(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	h := i.with(nothingIsOverdue).SearchAtMost(30)
	var ids []delivery.ID
	for range 30 {
		// An id tells its time to the millisecond: no more than one message shares it.
		for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
			runtime.Gosched()
		}
		ids = append(ids, i.publish("a", "b")...)
	}
	for _, id := range ids {
		if full, err := h.Show(t.Context(), id); err != nil || full.ID != id {
			t.Errorf("%s is shown as %+v, %v", id, full, err)
		}
	}
	unknown := ids[30] // of the same time
	unknown[15]++
	_, err := h.Show(t.Context(), unknown)
	if !errors.Is(err, history.ErrNotFound) || !strings.Contains(err.Error(), "30 messages that wait were not looked at") {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := i.with(nothingIsOverdue).Show(t.Context(), unknown); err == nil || strings.Contains(err.Error(), "not looked at") {
		t.Errorf("an unknown id where all is read: %v", err)
	}
}

// TestAListOfALongBacklogIsCutShort: it says so, and what it has is right.
func TestAListOfALongBacklogIsCutShort(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	rare := i.publish("rare")
	i.publish(slices.Repeat([]string{"a"}, 12)...)
	rare = append(rare, i.publish("rare")...)
	i.publish(slices.Repeat([]string{"a"}, 6)...)
	for name, tc := range map[string]struct {
		filter history.Filter
		want   []delivery.ID
		cut    bool
	}{
		"all":                {history.Filter{Limit: 20}, nil, false},
		"what is found soon": {history.Filter{WebhookID: "wh_rare", Limit: 1}, rare[1:], false},
		"what is too far":    {history.Filter{WebhookID: "wh_rare"}, rare[1:], true},
		"nothing at all":     {history.Filter{WebhookID: "wh_none"}, nil, true},
	} {
		h := i.with(nothingIsOverdue).SearchAtMost(7)
		if tc.filter.Limit == 0 {
			tc.filter.Limit = 100
		}
		tc.filter.Status = delivery.Pending
		list, err := h.List(t.Context(), tc.filter)
		if err != nil || list.CutShort != tc.cut {
			t.Errorf("%s: cut short is %v, %v", name, list.CutShort, err)
		}
		page, err := h.Page(t.Context(), tc.filter, history.Place{})
		if err != nil || tc.filter.Limit != 1 && page.CutShort != tc.cut {
			t.Errorf("%s: a page is cut short: %v, %v", name, page.CutShort, err)
		}
		if tc.want == nil {
			continue
		}
		var got []delivery.ID
		for _, d := range list.Deliveries {
			got = append(got, d.ID)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestTimesNarrowALongBacklog, at its end too: what is newer is not searched for what is older.
func TestTimesNarrowALongBacklog(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	older := i.publish(slices.Repeat([]string{"a"}, 12)...)
	since := time.Now()
	rare := i.publish("rare")
	until := time.Now()
	i.publish(slices.Repeat([]string{"a"}, 12)...)
	for _, limit := range []time.Duration{nothingIsOverdue, everythingIsOverdue} {
		h := i.with(limit).SearchAtMost(7).StoredWithin(0)
		f := history.Filter{WebhookID: "wh_rare", Status: delivery.Pending, Since: since, Until: until, Limit: 10}
		list, err := h.List(t.Context(), f)
		if err != nil || list.CutShort || len(list.Deliveries) != 1 || list.Deliveries[0].ID != rare[0] {
			t.Errorf("the list is %+v, cut short %t, %v", list.Deliveries, list.CutShort, err)
		}
		for _, at := range []history.Place{{}, {After: older[11]}} {
			page, err := h.Page(t.Context(), f, at)
			if err != nil || page.CutShort || len(page.Deliveries) != 1 || page.Deliveries[0].ID != rare[0] {
				t.Errorf("the page at %v is %+v, cut short %t, %v", at, page.Deliveries, page.CutShort, err)
			}
		}
	}
}
