package delivery_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := delivery.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got delivery.ID
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Fatalf("%s became %v, %v", text, got, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("01920f4e-7f00-7000-8000-000000000001")
	f.Add("01920f4e-7f00-7000-8000-00000000000g")
	f.Add(strings.Repeat("-", 36))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := delivery.ParseID(s)
		if err == nil && !strings.EqualFold(id.String(), s) {
			t.Errorf("%q was read as %s", s, id)
		}
	})
}

func TestPositionsAreInTheOrderOfTheStream(t *testing.T) {
	t.Parallel()
	ordered := []delivery.Position{{1, 0}, {1, 1}, {1, 255}, {2, 0}, {300, 7}}
	for i, p := range ordered {
		for j, q := range ordered {
			if got, want := p.Compare(q), cmpInt(i, j); got != want {
				t.Errorf("%v against %v is %d, want %d", p, q, got, want)
			}
		}
	}
}

func cmpInt(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	if !delivery.Settled.IsSettled() {
		t.Error("settled is not settled")
	}
	if delivery.Retry(0, nil).IsSettled() || delivery.Retry(time.Second, nil).RetryAfter != time.Second {
		t.Error("a retry without a pause is taken for settled")
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	d := delivery.Delivery{Headers: []delivery.Header{{"A", "1"}, {"B", ""}, {"A", "2"}}}
	for name, want := range map[string]string{"A": "1", "B": ""} {
		if got, ok := d.Header(name); !ok || got != want {
			t.Errorf("%s is %q, %v", name, got, ok)
		}
	}
	if _, ok := d.Header("a"); ok {
		t.Error("names are canonical, not folded")
	}
}

func TestReasonsAreTheClosedList(t *testing.T) {
	t.Parallel()
	if got := len(delivery.Reasons()); got != 17 {
		t.Errorf("%d reasons, the documentation lists 17", got)
	}
}
