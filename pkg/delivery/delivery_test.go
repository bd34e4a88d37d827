package delivery_test

import (
	"encoding/json"
	"strings"
	"sync"
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

func TestNewIDs(t *testing.T) {
	t.Parallel()
	const goroutines, each = 8, 2000
	before := time.Now().Truncate(time.Millisecond)
	var mu sync.Mutex
	seen := map[delivery.ID]bool{}
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			var last delivery.ID
			for range each {
				id := delivery.NewID()
				if string(id[:]) <= string(last[:]) {
					t.Errorf("%s was made after %s", id, last)
				}
				last = id
				mu.Lock()
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != goroutines*each {
		t.Errorf("%d different ids of %d", len(seen), goroutines*each)
	}
	// As many as these may run ahead of the clock by their number of 4096ths.
	after := time.Now().Add(goroutines * each * time.Millisecond / 4096).Add(time.Millisecond)
	for id := range seen {
		if id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("%s is no UUIDv7", id)
		}
		ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
		if at := id.Time(); at.Before(before) || at.After(after) || at.UnixMilli() != ms {
			t.Fatalf("%s is of %s, made between %s and %s", id, at, before, after)
		}
	}
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
	if got := len(delivery.Reasons()); got != 18 {
		t.Errorf("%d reasons, the documentation lists 18", got)
	}
}
