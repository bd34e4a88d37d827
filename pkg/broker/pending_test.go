package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestUnackedIsWhatIsCertain(t *testing.T) {
	t.Parallel()
	const first, last = 10, 30
	troubles := []Trouble{
		{Aside: []TroubleAside{{Sequence: 12}, {Sequence: 40}, {Sequence: 3}}},
		{Retried: &TroubleRetried{}, Held: Spans{{14, 15}, {19, 25}}},
	}
	for name, tc := range map[string]struct {
		handedOut  uint64
		ackPending int
		troubles   []Trouble
		want       Spans
	}{
		"nothing was handed out":                      {handedOut: 9, want: Spans{{10, 30}}},
		"all that was handed out is open":             {handedOut: 20, ackPending: 11, want: Spans{{10, 30}}},
		"some of it is acknowledged":                  {handedOut: 20, ackPending: 10, want: Spans{{10, 10}, {21, 30}}},
		"appliers say what they have":                 {handedOut: 20, ackPending: 5, troubles: troubles, want: Spans{{10, 10}, {12, 12}, {14, 15}, {19, 30}}},
		"everything was handed out":                   {handedOut: 30, ackPending: 1, want: Spans{{10, 10}}},
		"the consumer is ahead of a stream that lost": {handedOut: 35, ackPending: 30, want: Spans{{10, 30}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Pending{Backlog: Backlog{first, last}, HandedOut: tc.handedOut, AckPending: tc.ackPending, Troubles: tc.troubles}
			if diff := cmp.Diff(tc.want, p.unacked()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := (Pending{Backlog: Backlog{5, 4}, HandedOut: 4}).unacked(); got.len() != 0 {
		t.Errorf("%v of an empty backlog", got)
	}
}

func TestOverdueCountsWhatIsCertain(t *testing.T) {
	t.Parallel()
	// Messages 10 to 19 are overdue and carry 3 deliveries each, of which one is a
	// replay in message 10.
	m := Monitor{tally: tally{first: 10}}
	m.tally.put(10, time.Time{}, Count{Deliveries: 3, Replays: 1})
	for sequence := uint64(11); sequence < 20; sequence++ {
		m.tally.put(sequence, time.Time{}, Count{Deliveries: 3})
	}
	twoAside := []TroubleAside{{Sequence: 12, ID: delivery.ID{1}}, {Sequence: 12, ID: delivery.ID{2}}}
	for name, tc := range map[string]struct {
		p    Pending
		want int
	}{
		"none of them was handed out":                {Pending{Backlog: Backlog{10, 30}, HandedOut: 9}, 29},
		"all that was handed out is open":            {Pending{Backlog: Backlog{10, 30}, HandedOut: 24, AckPending: 15}, 29},
		"one keeps the floor back":                   {Pending{Backlog: Backlog{10, 30}, HandedOut: 30, AckPending: 1}, 2},
		"the rest of the gap cannot hold all others": {Pending{Backlog: Backlog{10, 30}, HandedOut: 24, AckPending: 9}, 2 + 3},
		"of a message some are set aside":            {Pending{Backlog: Backlog{10, 30}, HandedOut: 30, AckPending: 2, Troubles: []Trouble{{Aside: twoAside}}}, 2 + 2},
		"two appliers had the same one": {
			Pending{Backlog: Backlog{10, 30}, HandedOut: 30, AckPending: 2, Troubles: []Trouble{{Aside: twoAside}, {Aside: twoAside[1:]}}}, 2 + 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Monitor{tally: m.tally}
			if got := m.countOverdue(tc.p); got != tc.want {
				t.Errorf("%d deliveries are overdue, want %d", got, tc.want)
			}
		})
	}
}

func TestFate(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	aside := delivery.ID{7}
	busy := Pending{
		Backlog: Backlog{1, 100}, HandedOut: 50, AckPending: 20, At: since.Add(time.Hour),
		Troubles: []Trouble{{
			Retried: &TroubleRetried{Since: since, Attempts: 9, Why: "PostgreSQL is away", Messages: Spans{{10, 12}}},
			Held:    Spans{{10, 20}},
			Aside:   []TroubleAside{{ID: aside, Sequence: 11, Since: since, Attempts: 3, Why: "no key"}},
		}},
	}
	alone := Pending{Backlog: Backlog{1, 100}, HandedOut: 50, AckPending: 20, At: since, ActiveAt: since.Add(-silentAfter - 1)}
	working := alone
	working.ActiveAt = since.Add(-time.Second)
	full := working
	full.HandedOut, full.AckPending, full.Asking = 50, 100_000, 1
	for name, tc := range map[string]struct {
		p        Pending
		sequence uint64
		id       delivery.ID
		want     Fate
	}{
		"set aside":                   {busy, 11, aside, Fate{SetAside, since, 3, "no key"}},
		"beside one that is":          {busy, 11, delivery.ID{8}, Fate{Retried, since, 9, "PostgreSQL is away"}},
		"a replay in another message": {busy, 60, aside, Fate{State: Queued, Why: "waits behind deliveries that are tried again: PostgreSQL is away"}},
		"held behind a batch":         {busy, 15, delivery.ID{8}, Fate{State: HandedOut, Why: "waits behind deliveries that are tried again: PostgreSQL is away"}},
		"with another applier":        {busy, 30, delivery.ID{8}, Fate{State: HandedOut}},
		"left by one that died":       {alone, 30, delivery.ID{8}, Fate{State: HandedOut, Why: noApplier}},
		"queued without an applier":   {alone, 60, delivery.ID{8}, Fate{State: Queued, Why: noApplier}},
		"queued behind a full gap":    {full, 60, delivery.ID{8}, Fate{State: Queued, Why: "the broker hands out no more until some of what the appliers have is settled"}},
		"queued while one works":      {working, 60, delivery.ID{8}, Fate{State: Queued}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.p.Fate(tc.sequence, tc.id)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWarningsAdvance(t *testing.T) {
	t.Parallel()
	at := func(incarnation string, first, last, handedOut uint64, ackPending int) Pending {
		return Pending{Incarnation: incarnation, Backlog: Backlog{first, last}, HandedOut: handedOut, AckPending: ackPending}
	}
	for name, tc := range map[string]struct {
		was   warned
		p     Pending
		last  uint64
		of    Spans
		after warned
	}{
		"the first time":                {warned{}, at("a", 5, 20, 4, 0), 9, Spans{{5, 9}}, warned{"a", 9, nil}},
		"nothing new":                   {warned{"a", 9, nil}, at("a", 5, 20, 4, 0), 9, nil, warned{"a", 9, nil}},
		"further":                       {warned{"a", 9, nil}, at("a", 5, 20, 4, 0), 12, Spans{{10, 12}}, warned{"a", 12, nil}},
		"another monitor was further":   {warned{"a", 15, nil}, at("a", 5, 20, 4, 0), 12, nil, warned{"a", 15, nil}},
		"a stream that was made again":  {warned{"a", 15, Spans{{3, 4}}}, at("b", 1, 20, 0, 0), 2, Spans{{1, 2}}, warned{"b", 2, nil}},
		"a stream that was restored":    {warned{"a", 90, nil}, at("a", 5, 20, 4, 0), 20, nil, warned{"a", 20, nil}},
		"what is unknown is skipped":    {warned{"a", 4, nil}, at("a", 5, 20, 15, 2), 17, Spans{{5, 5}, {16, 17}}, warned{"a", 17, Spans{{6, 15}}}},
		"and warned of when it is sure": {warned{"a", 17, Spans{{6, 15}}}, at("a", 9, 20, 15, 2), 17, Spans{{9, 9}}, warned{"a", 17, Spans{{10, 15}}}},
		"or forgotten when it is done":  {warned{"a", 17, Spans{{6, 15}}}, at("a", 16, 20, 15, 0), 17, nil, warned{"a", 17, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of, after := tc.was.advance(tc.p, tc.last)
			if diff := cmp.Diff(tc.of, of); diff != "" {
				t.Error("warned of:\n", diff)
			}
			if len(after.Skipped) == 0 {
				after.Skipped = nil
			}
			if diff := cmp.Diff(tc.after, after); diff != "" {
				t.Error("afterwards:\n", diff)
			}
		})
	}
}

func TestTallyForgetsWhatIsDone(t *testing.T) {
	t.Parallel()
	var ta tally
	ta.startAt(100)
	for sequence := uint64(100); sequence < 110; sequence++ {
		if sequence != 104 { // a message that is gone
			ta.put(sequence, time.Time{}, Count{Deliveries: 2})
		}
	}
	all := Spans{{1, 1000}}
	if got := ta.sum(all); got.Deliveries != 18 {
		t.Errorf("%d deliveries, want 18", got.Deliveries)
	}
	ta.startAt(105)
	if got := ta.sum(all); got.Deliveries != 10 || ta.next() != 110 {
		t.Errorf("%d deliveries up to %d, want 10 up to 110", got.Deliveries, ta.next())
	}
	if got := ta.sum(Spans{{103, 106}, {109, 120}}); got.Deliveries != 6 {
		t.Errorf("%d deliveries of a part, want 6", got.Deliveries)
	}
	for _, restart := range []uint64{7, 500} {
		if ta.startAt(restart); ta.sum(all) != (Count{}) || ta.next() != restart {
			t.Errorf("started again at %d it has %v up to %d", restart, ta.sum(all), ta.next())
		}
	}
}

// said is an entry of the bucket.
type said struct {
	jetstream.KeyValueEntry
	at    time.Time
	value string
}

func (s said) Created() time.Time { return s.at }
func (s said) Value() []byte      { return []byte(s.value) }

func TestTroublesAreBelievedForHalfAMinute(t *testing.T) {
	t.Parallel()
	now := time.Now()
	got := believed([]jetstream.KeyValueEntry{
		said{at: now.Add(-29 * time.Second), value: `{"applier":"b"}`},
		said{at: now.Add(-31 * time.Second), value: `{"applier":"killed"}`},
		said{at: now, value: `of another version`},
		said{at: now.Add(time.Second), value: `{"applier":"a"}`},
	}, now)
	if diff := cmp.Diff([]Trouble{{Applier: "a"}, {Applier: "b"}}, got); diff != "" {
		t.Error(diff)
	}
}
