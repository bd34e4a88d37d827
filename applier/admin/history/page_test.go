package history_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Whatever the order in the stream is, and what of it is settled, going through the
// pages meets each delivery once, newest first.
func TestPagesMeetEachDeliveryOnce(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var ids []delivery.ID
	send := func(order []int) { // ids are made shortly before they are stored
		for range order {
			ids = append(ids, delivery.NewID())
		}
		for _, n := range order {
			i.send(delivery.Delivery{ID: ids[n], WebhookID: "wh_a", ReceivedAt: ids[n].Time(), Body: []byte("x")})
		}
	}
	send([]int{3, 0, 9, 1, 2, 11, 8, 4, 5, 7, 10, 6, 19, 12, 18, 13, 17, 14, 16, 15})
	i.settle()
	send([]int{39, 20, 38, 21, 37, 22, 36, 23, 35, 24, 34, 25, 33, 26, 32, 27, 31, 28, 30, 29})
	want := slices.Clone(ids)
	slices.Reverse(want)
	for _, limit := range []time.Duration{nothingIsOverdue, everythingIsOverdue} {
		for _, size := range []int{1, 7, 20, 40, 41} {
			h := i.with(limit)
			var met []delivery.ID
			var places []history.Place // of each page
			for at, more := (history.Place{}), true; more; {
				page, err := h.Page(t.Context(), history.Filter{Limit: size}, at)
				if err != nil || page.Newer != (len(met) > 0) || page.Unchecked != nil {
					t.Fatalf("%d a page, from %+v: newer %v, %v, %v", size, at, page.Newer, page.Unchecked, err)
				}
				places = append(places, history.Place{After: page.Deliveries[0].ID})
				for _, d := range page.Deliveries {
					met = append(met, d.ID)
				}
				at, more = history.Place{Before: met[len(met)-1]}, page.Older
			}
			if diff := cmp.Diff(want, met); diff != "" {
				t.Errorf("%d a page: %s", size, diff)
			}
			// And back.
			for n, at := range places[1:] {
				page, err := h.Page(t.Context(), history.Filter{Limit: size}, at)
				if err != nil || len(page.Deliveries) != size || page.Deliveries[0].ID != want[n*size] || page.Newer != (n > 0) || !page.Older {
					t.Errorf("%d a page, back to page %d: %d deliveries, newer %v, older %v, %v", size, n, len(page.Deliveries), page.Newer, page.Older, err)
				}
			}
		}
	}
}

func TestAMarkChanges(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	h := i.with(nothingIsOverdue)
	marks := map[string]bool{}
	mark := func() {
		t.Helper()
		m, err := h.Mark(t.Context())
		if err != nil || marks[m.String()] {
			t.Errorf("the mark is %q again, %v", m, err)
		}
		marks[m.String()] = true
	}
	mark()
	i.publish("a")
	mark()
	i.settle()
	mark()
	if m, err := h.Mark(t.Context()); err != nil || !marks[m.String()] {
		t.Errorf("nothing happened, and the mark is %q, %v", m, err)
	}
}
