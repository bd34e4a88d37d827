package trial

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestAPageIsBoundedByItsBodiesAndTheirNumber(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		about       string
		deliveries  int
		bytes       int
		wantedPages []int
	}{
		{"large bodies", 20, 512 << 10, []int{8, 8, 4}},
		{"many bodies", 300, 10, []int{256, 44}},
		{"none", 0, 0, nil},
	} {
		var pages []int
		p := page{do: func(all []delivery.Delivery) error {
			pages = append(pages, len(all))
			return nil
		}}
		body := make([]byte, tc.bytes)
		for range tc.deliveries {
			if err := p.add(delivery.Delivery{Body: body}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.flush(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.wantedPages, pages); diff != "" {
			t.Errorf("%s: %s", tc.about, diff)
		}
		for _, d := range p.deliveries[:cap(p.deliveries)] {
			if d.Body != nil {
				t.Fatalf("%s: a page that is done keeps its bodies", tc.about)
			}
		}
	}
}
