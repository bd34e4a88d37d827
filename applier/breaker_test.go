package applier_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func dataError(state string) error {
	return &applier.DataError{Err: errors.New("refused"), State: state}
}

// bodies makes deliveries of a word for each.
func bodies(words string) []delivery.Delivery {
	var batch []delivery.Delivery
	for i, word := range strings.Fields(words) {
		batch = append(batch, delivery.Delivery{ID: delivery.ID{byte(i + 1)}, WebhookID: "active", Body: []byte(word)})
	}
	return batch
}

// TestADatabaseThatRefusesAll: each batch is handled in turn by one applier.
func TestADatabaseThatRefusesAll(t *testing.T) {
	t.Parallel()
	const not, null = "not", "null"
	refuse := map[string]error{not: dataError("23502"), null: dataError("22004"), "other": dataError("")}
	times := func(word string, n int) string { return strings.Repeat(word+" ", n) }
	for name, tc := range map[string]struct {
		batches []string
		settled []int // of each batch
		stopped string
	}{
		"eight of a batch":                     {[]string{times(not, 8)}, []int{0}, "23502"},
		"seven become dead letters":            {[]string{times(not, 7)}, []int{7}, ""},
		"the eighth in a row, one at a time":   {strings.Fields(times(not, 8)), []int{1, 1, 1, 1, 1, 1, 1, 0}, "23502"},
		"half of a batch":                      {[]string{times(not, 8) + times("a", 8)}, []int{8}, "23502"},
		"fewer than pass":                      {[]string{times(not, 8) + times("a", 9)}, []int{17}, ""},
		"one that passes between":              {[]string{times(not, 7), "a", times(not, 7)}, []int{7, 1, 7}, ""},
		"another SQLSTATE between":             {[]string{times(not, 7), null, times(not, 7)}, []int{7, 1, 7}, ""},
		"rows that contradict the deliveries":  {[]string{times("other", 20)}, []int{20}, ""},
		"it lasts":                             {[]string{times(not, 20), times(not, 20), not}, []int{0, 0, 0}, "23502"},
		"until a batch passes":                 {[]string{times(not, 20), "a b"}, []int{0, 2}, ""},
		"what it refused first is a dead one":  {[]string{times(not, 20), "a a " + not}, []int{0, 3}, ""},
		"a database that goes away after that": {[]string{times(not, 10) + "gone"}, []int{0}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusing := map[string]error{"gone": errors.New("away")}
			for body, err := range refuse {
				refusing[body] = err
			}
			s, r := &store{refuse: refusing}, &reporter{}
			evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
				return applier.Plan{}, nil, nil
			}
			app := applier.New(definitions{byID: map[string]*webhook.Webhook{"active": {}}}, &communities{}, evaluate, s, r)
			for i, batch := range tc.batches {
				settled := 0
				for _, v := range app.Handle(t.Context(), bodies(batch)) {
					if v.IsSettled() {
						settled++
					} else if v.Parked {
						t.Errorf("batch %d has a parked delivery", i)
					}
				}
				if settled != tc.settled[i] {
					t.Errorf("of batch %d %d are settled, want %d", i, settled, tc.settled[i])
				}
			}
			err := app.Ready(t.Context())
			if (err != nil) != (tc.stopped != "") || err != nil && !strings.Contains(err.Error(), tc.stopped) {
				t.Errorf("readiness says %v, want %q", err, tc.stopped)
			}
			if isStopped := len(r.stopped) > 0 && r.stopped[len(r.stopped)-1] != nil; isStopped != (tc.stopped != "") {
				t.Errorf("the report says %v", r.stopped)
			}
		})
	}
}

// While it lasts, a batch costs a few tries and not two for each delivery.
func TestAStoppedApplierTriesLittle(t *testing.T) {
	t.Parallel()
	s := &store{refuse: map[string]error{"not": dataError("23502")}}
	evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
		return applier.Plan{}, nil, nil
	}
	app := applier.New(definitions{byID: map[string]*webhook.Webhook{"active": {}}}, &communities{}, evaluate, s, &reporter{})
	batch := bodies(strings.Repeat("not ", 256)[:255*4])
	app.Handle(t.Context(), batch)
	before := s.calls
	app.Handle(t.Context(), batch)
	if tries := s.calls - before; tries > 32 {
		t.Errorf("%d tries", tries)
	}
}
