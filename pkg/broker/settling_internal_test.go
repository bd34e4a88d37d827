package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSettlingStandsStillFromLookToLook(t *testing.T) {
	t.Parallel()
	type look struct {
		later      time.Duration
		partitions []PartitionState
		waits      []int
		troubles   []Trouble
	}
	one := func(later time.Duration, floor uint64, waits int, troubles ...Trouble) look {
		return look{later, []PartitionState{part(1, 0, 1, 0, floor)}, []int{waits}, troubles}
	}
	two := func(later time.Duration, floors ...uint64) look {
		return look{later, []PartitionState{part(1, 0, 2, 0, floors[0]), part(1, 1, 2, 0, floors[1])}, []int{3, 3}, nil}
	}
	next := func(later time.Duration, floor uint64, waits int) look {
		return look{later, []PartitionState{part(1, 0, 1, 0, floor), part(2, 0, 1, 50, 50)}, []int{waits, 3}, nil}
	}
	const s = time.Second
	for name, tc := range map[string]struct {
		looks []look
		want  time.Duration
	}{
		"nothing is settled":                     {[]look{one(0, 5, 3), one(20*s, 5, 4), one(40*s, 5, 5)}, 40 * s},
		"nobody could ack: the broker was away":  {[]look{one(0, 5, 3), one(40*s, 5, 3)}, 0},
		"not for long":                           {[]look{one(0, 5, 3), one(29*s, 5, 3)}, 0},
		"the floor moves":                        {[]look{one(0, 5, 3), one(20*s, 6, 3), one(40*s, 6, 3)}, 0},
		"nothing waited meanwhile":               {[]look{one(0, 5, 0), one(20*s, 5, 0), one(40*s, 5, 1)}, 0},
		"messages of other partitions alone":     {[]look{one(0, 5, 0), one(20*s, 5, 0), one(40*s, 5, 0)}, 0},
		"the cause was known meanwhile":          {[]look{one(0, 5, 3), one(20*s, 5, 3, Trouble{Retried: &TroubleRetried{}}), one(40*s, 5, 3)}, 0},
		"a cause is known of another partition":  {[]look{one(0, 5, 3), one(20*s, 5, 3), one(40*s, 5, 3, Trouble{Retried: &TroubleRetried{Last: 5, Slots: []int{1}}})}, 40 * s},
		"a backup came back":                     {[]look{one(0, 9, 3), one(20*s, 5, 3), one(40*s, 5, 3)}, 0},
		"one of two partitions":                  {[]look{two(0, 5, 5), two(20*s, 6, 5), two(40*s, 7, 5)}, 40 * s},
		"both move":                              {[]look{two(0, 5, 5), two(20*s, 6, 5), two(40*s, 6, 6)}, 0},
		"the next generation waits for this one": {[]look{next(0, 5, 3), next(20*s, 6, 3), next(40*s, 7, 3)}, 0},
		"the next generation, this one is done":  {[]look{next(0, 5, 0), next(20*s, 5, 0), next(40*s, 5, 0)}, 40 * s},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var memory settling
			var stall *Stall
			for start, looks := time.Now(), tc.looks; len(looks) > 0; looks = looks[1:] {
				p := Pending{Extent: Extent{1, 99}, Partitions: looks[0].partitions, Troubles: looks[0].troubles}
				_, stall = memory.look(p, Queue{waits: looks[0].waits}, 30*s, start.Add(looks[0].later))
			}
			if got := durationOf(stall); got != tc.want {
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

func TestAStallByTheBrokersTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, tc := range map[string]struct {
		stored, given time.Time
		want          *Stall
	}{
		"given some just now":          {ago(time.Hour), ago(time.Second), nil},
		"idle for long, and a new one": {ago(time.Second), ago(time.Hour), nil},
		"nothing since":                {ago(time.Hour), ago(time.Minute), &Stall{For: time.Minute, Why: NobodyAsks}},
		"since it came":                {ago(time.Minute), ago(time.Hour), &Stall{For: time.Minute, Why: NobodyAsks}},
		"nobody reads it":              {ago(time.Hour), time.Time{}, &Stall{Why: NobodyAsks}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Pending{Extent: Extent{1, 1}, At: now, Partitions: []PartitionState{part(1, 0, 1, 0, 0)}}
			p.Partitions[0].DeliveredAt = tc.given
			if tc.want != nil {
				tc.want.Partition = p.Partitions[0].Partition
			}
			if diff := cmp.Diff(tc.want, p.stallSince(0, tc.stored)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhyAPartitionStandsStill(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for want, change := range map[string]func(s *PartitionState){
		"no applier is asking for deliveries of partition 0 of 2 (generation 1)":                        func(*PartitionState) {},
		"an applier has 7 messages of partition 0 of 2 (generation 1) and settles none":                 func(s *PartitionState) { s.AckPending, s.DeliveredAt = 7, now },
		"an applier asks for messages of partition 0 of 2 (generation 1), but the broker delivers none": func(s *PartitionState) { s.Waiting = 1 },
	} {
		p := Pending{Extent: Extent{1, 9}, At: now, Partitions: []PartitionState{part(1, 0, 2, 0, 0), part(1, 1, 2, 0, 0)}}
		p.Partitions[1].Waiting = 1 // there is an applier
		change(&p.Partitions[0])
		if got := p.whyStill(0); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
