package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestSettlingStandsStillFromLookToLook(t *testing.T) {
	t.Parallel()
	retried := []Trouble{{Retried: &TroubleRetried{}}}
	at := func(p Pending, later time.Duration) func(*settling, time.Time) *Stall {
		return func(s *settling, start time.Time) *Stall {
			_, stall := s.look(p, 1, 30*time.Second, start.Add(later))
			return stall
		}
	}
	for name, tc := range map[string]struct {
		looks []func(*settling, time.Time) *Stall
		want  time.Duration
	}{
		"nothing is acked": {[]func(*settling, time.Time) *Stall{
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 0),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 7, AckPending: 7}, 20*time.Second),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 9, AckPending: 9}, 40*time.Second),
		}, 40 * time.Second},
		"nobody could ack, because the broker was away": {[]func(*settling, time.Time) *Stall{
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 0),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 40*time.Second),
		}, 0},
		"not for long": {[]func(*settling, time.Time) *Stall{
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 0),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 29*time.Second),
		}, 0},
		"one is acked beyond the floor": {[]func(*settling, time.Time) *Stall{
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 0),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 4}, 40*time.Second),
		}, 0},
		"nothing waited meanwhile": {[]func(*settling, time.Time) *Stall{
			at(Pending{Backlog: Backlog{5, 4}, HandedOut: 4}, 0),
			at(Pending{Backlog: Backlog{5, 4}, HandedOut: 4}, 30*time.Second),
			at(Pending{Backlog: Backlog{5, 5}, HandedOut: 4}, 40*time.Second),
		}, 0},
		"the cause was known meanwhile": {[]func(*settling, time.Time) *Stall{
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 0),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5, Troubles: retried}, 20*time.Second),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 40*time.Second),
		}, 0},
		"a backup came back": {[]func(*settling, time.Time) *Stall{
			at(Pending{Backlog: Backlog{8, 9}, HandedOut: 8, AckPending: 1}, 0),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 5, AckPending: 5}, 40*time.Second),
		}, 0},
		"the broker counts what is handed out a moment late": {[]func(*settling, time.Time) *Stall{
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 6, AckPending: 6}, 0),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 6, AckPending: 9}, 20*time.Second),
			at(Pending{Backlog: Backlog{1, 9}, HandedOut: 9, AckPending: 9}, 40*time.Second),
		}, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s settling
			var last *Stall
			for start, look := time.Now(), 0; look < len(tc.looks); look++ {
				last = tc.looks[look](&s, start)
			}
			if got := durationOf(last); got != tc.want {
				t.Errorf("it stands still for %s, want %s", got, tc.want)
			}
		})
	}
}

func durationOf(s *Stall) time.Duration {
	if s == nil {
		return 0
	}
	return s.For
}

func TestWaitingIsWhatNoApplierAccountsFor(t *testing.T) {
	t.Parallel()
	aside := func(sequences ...uint64) (all []TroubleAside) {
		for _, s := range sequences {
			all = append(all, TroubleAside{ID: delivery.NewID(), Sequence: s})
		}
		return all
	}
	retried := Trouble{Retried: &TroubleRetried{}, Held: Spans{{10, 12}}}
	for name, tc := range map[string]struct {
		p     Pending
		want  int
		known Spans
	}{
		"nothing is there":            {Pending{Backlog: Backlog{5, 4}, HandedOut: 4}, 0, nil},
		"a queue":                     {Pending{Backlog: Backlog{10, 19}, HandedOut: 9}, 10, Spans{{10, 19}}},
		"handed out, and a queue":     {Pending{Backlog: Backlog{10, 19}, HandedOut: 14, AckPending: 5}, 10, Spans{{10, 19}}},
		"all are set aside":           {Pending{Backlog: Backlog{10, 19}, HandedOut: 19, AckPending: 2, Troubles: []Trouble{{Aside: aside(10, 15), AsideDeliveries: 2}}}, 0, nil},
		"more are set aside":          {Pending{Backlog: Backlog{10, 19}, HandedOut: 19, AckPending: 3, Troubles: []Trouble{{Aside: aside(10, 15), AsideDeliveries: 3}}}, 0, nil},
		"behind one set aside":        {Pending{Backlog: Backlog{10, 19}, HandedOut: 17, AckPending: 3, Troubles: []Trouble{{Aside: aside(10), AsideDeliveries: 1}}}, 4, Spans{{18, 19}}},
		"retried by all":              {Pending{Backlog: Backlog{10, 19}, HandedOut: 12, AckPending: 3, Troubles: []Trouble{retried}}, 0, nil},
		"retried by one, others ask":  {Pending{Backlog: Backlog{10, 19}, HandedOut: 12, AckPending: 3, Asking: 1, Troubles: []Trouble{retried}}, 7, Spans{{13, 19}}},
		"full of what is set aside":   {Pending{Backlog: Backlog{1, 200_000}, HandedOut: 100_000, AckPending: 100_000, Troubles: []Trouble{{AsideDeliveries: 100_000}}}, 0, nil},
		"full of what nobody settles": {Pending{Backlog: Backlog{1, 100_001}, HandedOut: 100_000, AckPending: 100_000}, 100_000 + 1, Spans{{1, 100_001}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.p.waiting(); got != tc.want {
				t.Errorf("%d wait, want %d", got, tc.want)
			}
			if diff := cmp.Diff(tc.known, tc.p.waitingSpans()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAStallByTheBrokersTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, tc := range map[string]struct {
		stored, acked time.Time
		want          *Stall
	}{
		"acked just now":                      {ago(time.Hour), ago(time.Second), nil},
		"idle for long, and a new one":        {ago(time.Second), ago(time.Hour), nil},
		"nothing since":                       {ago(time.Hour), ago(time.Minute), &Stall{For: time.Minute, Why: noApplier}},
		"since it came":                       {ago(time.Minute), ago(time.Hour), &Stall{For: time.Minute, Why: noApplier}},
		"not since the consumer has a leader": {ago(time.Hour), time.Time{}, &Stall{Why: noApplier}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Pending{Backlog: Backlog{1, 1}, At: now, AckedAt: tc.acked}
			if diff := cmp.Diff(tc.want, p.stallSince(tc.stored)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPendingIsCountedInDeliveries(t *testing.T) {
	t.Parallel()
	// Messages 10 to 19 carry 4 deliveries each, and 16 a replay, too.
	var counted tally
	counted.startAt(10)
	for sequence := uint64(10); sequence < 20; sequence++ {
		c := Count{Deliveries: 4}
		if sequence == 16 {
			c = Count{Deliveries: 5, Replays: 1}
		}
		counted.put(sequence, time.Time{}, c)
	}
	for name, tc := range map[string]struct {
		p    Pending
		want int
	}{
		"all are counted":               {Pending{Backlog: Backlog{10, 19}, HandedOut: 9}, 40},
		"the rest is estimated":         {Pending{Backlog: Backlog{10, 29}, HandedOut: 9}, 80},
		"the floor is kept back":        {Pending{Backlog: Backlog{10, 19}, HandedOut: 19, AckPending: 3}, 12},
		"one of a message is set aside": {Pending{Backlog: Backlog{10, 19}, HandedOut: 19, AckPending: 1, Troubles: []Trouble{{Aside: []TroubleAside{{Sequence: 10}}, AsideDeliveries: 1}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Monitor{tally: counted}
			if got := m.countPending(tc.p); got != tc.want {
				t.Errorf("%d deliveries are pending, want %d", got, tc.want)
			}
		})
	}
}

func TestTheTallyKnowsWhatIsOverdue(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var ta tally
	ta.startAt(5)
	for i, sequence := range []uint64{5, 6, 9, 10} { // 7 and 8 are gone
		ta.put(sequence, start.Add(time.Duration(i)*time.Second), Count{Deliveries: 1})
	}
	for at, want := range map[time.Duration]uint64{-time.Second: 5, 0: 6, 1500 * time.Millisecond: 7, 2 * time.Second: 10, time.Hour: 11} {
		if got := ta.storedAfter(start.Add(at)); got != want {
			t.Errorf("the first that is stored after %s is %d, want %d", at, got, want)
		}
	}
}

// The time of a message that came 50 days after the oldest does not fit.
func TestAMessageWhoseTimeDoesNotFitIsNotOverdue(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	start := time.Now()
	var ta tally
	ta.startAt(5)
	for i, after := range []time.Duration{0, day, 60 * day} {
		ta.put(5+uint64(i), start.Add(after), Count{Deliveries: 1})
	}
	if got := ta.storedAfter(start.Add(59 * day)); got != 7 {
		t.Errorf("the first that is not overdue is %d, want 7", got)
	}
}

// A delivery that is set aside holds the ack floor, and others are pending long after.
func TestTheTallyBeginsAtWhatWaits(t *testing.T) {
	t.Parallel()
	aside := []Trouble{{AsideDeliveries: 1, Aside: []TroubleAside{{Sequence: 1}}}}
	for name, tc := range map[string]struct {
		p    Pending
		want uint64
	}{
		"few messages":         {Pending{Backlog: Backlog{1, 9}, HandedOut: 8, AckPending: 1, Troubles: aside}, 1},
		"one waits far behind": {Pending{Backlog: Backlog{1, 900}, HandedOut: 899, AckPending: 1, Troubles: aside}, 900},
		"nothing else waits":   {Pending{Backlog: Backlog{1, 900}, HandedOut: 900, AckPending: 1, Troubles: aside}, 901},
		"a long backlog":       {Pending{Backlog: Backlog{1, 900}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.p.tallyStart(10); got != tc.want {
				t.Errorf("the tally begins at %d, want %d", got, tc.want)
			}
			m := Monitor{limit: time.Minute}
			m.tally.startAt(tc.p.tallyStart(10))
			tc.p.At = time.Now()
			m.oldest.at = tc.p.At.Add(-time.Hour)
			if got := m.overdueSpan(tc.p); m.tally.first > 1 && (len(got) != 1 || got[0] != Span{1, 1}) {
				t.Errorf("%v is overdue, want the oldest", got)
			}
		})
	}
}
