package applier_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// definitions answers with what it holds, and with its error otherwise.
type definitions struct {
	byID     map[string]*webhook.Webhook
	versions map[int]*webhook.Webhook
	err      error
	// tookClear says that encryption was off before.
	tookClear bool
}

func (d definitions) At(_ context.Context, id string, _ uint64) (*webhook.Webhook, error) {
	if w := d.byID[id]; w != nil || d.err == nil {
		return w, nil
	}
	return nil, d.err
}

func (d definitions) Version(_ context.Context, id string, version int) (*webhook.Webhook, error) {
	return d.versions[version], d.err
}

func (d definitions) TookClear(context.Context, string, uint64, time.Time) (bool, error) {
	return d.tookClear, d.err
}

// store records what it commits and refuses the bodies it is told to.
type store struct {
	refuse    map[string]error
	committed []string // body, and reason of a failure
	calls     int
	most      int // more than so many items take too long; 0 for no limit
}

func (s *store) Settle(_ context.Context, batch []applier.Item) ([]applier.Settlement, error) {
	s.calls++
	if s.most > 0 && len(batch) > s.most {
		return nil, fmt.Errorf("settle: %w", applier.ErrTooLong)
	}
	for _, item := range batch {
		if err := s.refuse[string(item.Delivery.Body)]; err != nil && (item.Failure == nil || string(item.Delivery.Body) == "unwritable") {
			return nil, err
		}
	}
	settlements := make([]applier.Settlement, len(batch))
	for i, item := range batch {
		settlements[i] = applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied}
		line := string(item.Delivery.Body)
		if item.Failure != nil {
			settlements[i] = applier.Settlement{Status: delivery.Failed, Failure: item.Failure}
			line += " " + string(item.Failure.Reason)
		}
		s.committed = append(s.committed, line)
	}
	return settlements, nil
}

// communities answers from memory with what it had, and when read again with
// what there is.
type communities struct {
	old, now     *applier.Community
	err          error
	asked, reads int
}

func (c *communities) Community(context.Context, string) (*applier.Community, error) {
	c.asked++
	if c.old == nil {
		return &applier.Community{}, c.err
	}
	return c.old, c.err
}

func (c *communities) Reread(context.Context, string) (*applier.Community, error) {
	c.reads++
	return c.now, c.err
}

type reporter struct {
	bugs      int
	postponed []string // bodies
	stopped   []error
}

func (r *reporter) Settled(applier.Item, applier.Settlement) {}
func (r *reporter) Bug(*delivery.Delivery, error)            { r.bugs++ }
func (r *reporter) Stopped(cause error)                      { r.stopped = append(r.stopped, cause) }

func (r *reporter) Postponed(deliveries []*delivery.Delivery, _ error) {
	for _, d := range deliveries {
		r.postponed = append(r.postponed, string(d.Body))
	}
}

func (r *reporter) Parked(*delivery.Delivery, applier.ParkReason, error) {}

func TestHandle(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	data := &applier.DataError{Err: errors.New("refused")}
	for name, tc := range map[string]struct {
		bodies    []string
		webhook   string
		refuse    map[string]error
		defErr    error
		settled   []bool
		committed []string
		bugs      int
	}{
		"all is well": {
			bodies: []string{"a", "b"}, webhook: "active",
			settled: []bool{true, true}, committed: []string{"a", "b"},
		},
		"one delivery that the database refuses is found among many": {
			bodies: []string{"a", "b", "c", "bad", "d", "e", "f"}, webhook: "active",
			refuse:  map[string]error{"bad": data},
			settled: []bool{true, true, true, true, true, true, true},
			committed: []string{
				"a", "b", "c", "d", "e", "f", "bad internal",
			},
			bugs: 1,
		},
		"one whose failure cannot be written does not hold up the others": {
			bodies: []string{"a", "unwritable", "b", "c"}, webhook: "active",
			refuse:  map[string]error{"unwritable": data},
			settled: []bool{true, false, true, true}, committed: []string{"a", "b", "c"},
			bugs: 2,
		},
		"a database that is away settles nothing": {
			bodies: []string{"a", "b"}, webhook: "active",
			refuse:  map[string]error{"a": away},
			settled: []bool{false, false},
		},
		"a database that goes away while a refusal is narrowed down": {
			bodies: []string{"bad", "a", "gone", "b"}, webhook: "active",
			refuse:    map[string]error{"bad": data, "gone": away},
			settled:   []bool{false, true, false, false},
			committed: []string{"a"},
		},
		"a panic fails the one delivery": {
			bodies: []string{"a", "panic", "b"}, webhook: "active",
			settled: []bool{true, true, true}, committed: []string{"a", "panic internal", "b"},
			bugs: 1,
		},
		"a deleted webhook": {
			bodies: []string{"a"}, webhook: "unknown",
			settled: []bool{true}, committed: []string{"a webhook_deleted"},
		},
		"a definition that cannot be read now": {
			bodies: []string{"a"}, webhook: "unknown", defErr: away,
			settled: []bool{false},
		},
		"a delivery whose webhook lacks something is to be parked": {
			bodies: []string{"a", "locked", "b"}, webhook: "active",
			settled: []bool{true, false, true}, committed: []string{"a", "b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var batch []delivery.Delivery
			for i, body := range tc.bodies {
				batch = append(batch, delivery.Delivery{ID: delivery.ID{byte(i + 1)}, WebhookID: tc.webhook, Body: []byte(body)})
			}
			s, r := &store{refuse: tc.refuse}, &reporter{}
			defs := definitions{byID: map[string]*webhook.Webhook{"active": {}}, err: tc.defErr}
			evaluate := func(_ *webhook.Webhook, d *delivery.Delivery, _ *applier.Community) (applier.Plan, *delivery.Failure, error) {
				if string(d.Body) == "panic" {
					panic("at the disco")
				}
				if string(d.Body) == "locked" {
					return applier.Plan{}, nil, errors.New("no key")
				}
				return applier.Plan{}, nil, nil
			}
			verdicts := applier.New(defs, &communities{}, evaluate, s, r).Handle(t.Context(), batch)
			var settled []bool
			var postponed []string
			for i, v := range verdicts {
				if !v.IsSettled() && !v.Parked {
					postponed = append(postponed, string(batch[i].Body))
				}
				settled = append(settled, v.IsSettled())
				if locked := string(batch[i].Body) == "locked"; v.Parked != locked {
					t.Errorf("delivery %d is to be parked: %v, want %v", i, v.Parked, locked)
				}
			}
			if diff := cmp.Diff(tc.settled, settled); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.committed, s.committed); diff != "" {
				t.Error(diff)
			}
			if r.bugs != tc.bugs {
				t.Errorf("%d bugs reported, want %d", r.bugs, tc.bugs)
			}
			if diff := cmp.Diff(postponed, r.postponed); diff != "" {
				t.Error("reported as postponed:\n", diff)
			}
		})
	}
}

// rotated knows a newer revision than the one it hands out unasked.
type rotated struct{ old, newest *webhook.Webhook }

func (r rotated) At(_ context.Context, _ string, revision uint64) (*webhook.Webhook, error) {
	switch {
	case revision <= r.old.Revision:
		return r.old, nil
	case r.newest == nil:
		return nil, errors.New("the broker is away")
	}
	return r.newest, nil
}

func (rotated) Version(context.Context, string, int) (*webhook.Webhook, error) { return nil, nil }

func (rotated) TookClear(context.Context, string, uint64, time.Time) (bool, error) { return false, nil }

func TestABodyUnderANewKeyIsTriedWithTheNewestDefinition(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		newest    *webhook.Webhook
		settled   bool
		committed []string
	}{
		"the key has come":            {&webhook.Webhook{Revision: 9}, true, []string{"body"}},
		"the newer one does not do":   {&webhook.Webhook{Revision: 8}, true, []string{"body decryption_failed"}},
		"there is no newer one":       {&webhook.Webhook{Revision: 7}, true, []string{"body decryption_failed"}},
		"nobody knows what there is":  {nil, false, nil},
		"the newer one lacks its key": {&webhook.Webhook{Revision: 10}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &store{}
			evaluate := func(w *webhook.Webhook, _ *delivery.Delivery, _ *applier.Community) (applier.Plan, *delivery.Failure, error) {
				switch w.Revision {
				case 9:
					return applier.Plan{}, nil, nil
				case 10:
					return applier.Plan{}, nil, errors.New("no key")
				}
				return applier.Plan{}, &delivery.Failure{Reason: delivery.DecryptionFailed}, nil
			}
			a := applier.New(rotated{&webhook.Webhook{Revision: 7}, tc.newest}, &communities{}, evaluate, s, &reporter{})
			verdicts := a.Handle(t.Context(), []delivery.Delivery{{Revision: 7, Body: []byte("body")}})
			if verdicts[0].IsSettled() != tc.settled {
				t.Errorf("verdict %+v, want settled: %v", verdicts[0], tc.settled)
			}
			if diff := cmp.Diff(tc.committed, s.committed); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAReplayIsDecidedByTheDefinitionThatItAsksFor(t *testing.T) {
	t.Parallel()
	version := func(n int) *webhook.Webhook {
		return &webhook.Webhook{Record: webhook.Record{ID: "wh", Version: n}}
	}
	deleted := version(4)
	deleted.DeletedAt = new(time.Now())
	for name, tc := range map[string]struct {
		now    *webhook.Webhook
		replay *delivery.Replay
		want   string
	}{
		"the current one":                  {version(4), &delivery.Replay{}, "applied by 4"},
		"the version that decided first":   {version(4), &delivery.Replay{Version: 2}, "applied by 2"},
		"that version is the current one":  {version(2), &delivery.Replay{Version: 2}, "applied by 2"},
		"that version is not kept":         {version(4), &delivery.Replay{Version: 1}, "no-op by 4"},
		"a deleted webhook does not run":   {deleted, &delivery.Replay{Version: 2}, "webhook_deleted by 4"},
		"a webhook that there never was":   {nil, &delivery.Replay{}, "webhook_deleted by 0"},
		"not replayed, it is the current ": {version(4), nil, "applied by 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defs := definitions{byID: map[string]*webhook.Webhook{"wh": tc.now}, versions: map[int]*webhook.Webhook{2: version(2)}}
			evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
				return applier.Plan{}, nil, nil
			}
			s := &recordingStore{}
			a := applier.New(defs, &communities{old: &applier.Community{}}, evaluate, s, &reporter{})
			a.Handle(t.Context(), []delivery.Delivery{{WebhookID: "wh", Replay: tc.replay}})
			if s.last != tc.want {
				t.Errorf("%s, want %s", s.last, tc.want)
			}
		})
	}
}

// A replay by a version that is gone stays without effect. Its failure looks like one that
// a change of the community may cure.
func TestAReplayByAVersionThatIsGoneIsNotPlannedAgain(t *testing.T) {
	t.Parallel()
	now := &webhook.Webhook{Record: webhook.Record{ID: "wh", Version: 4}}
	evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
		return applier.Plan{Changes: make([]applier.Change, 1)}, nil, nil
	}
	a := applier.New(definitions{byID: map[string]*webhook.Webhook{"wh": now}}, &communities{}, evaluate, &store{}, &reporter{})
	planned := a.Plan(t.Context(), []delivery.Delivery{{WebhookID: "wh", Replay: &delivery.Replay{Version: 1}}})
	items := []applier.Item{planned[0].Item}
	a.Replan(t.Context(), items)
	if !items[0].NoOp || items[0].Failure == nil || len(items[0].Plan.Changes) != 0 {
		t.Errorf("planned again as %+v", items[0])
	}
}

// recordingStore says how an item came to it.
type recordingStore struct{ last string }

func (s *recordingStore) Settle(_ context.Context, batch []applier.Item) ([]applier.Settlement, error) {
	item, what, by := batch[0], "applied", 0
	if item.Failure != nil {
		what = string(item.Failure.Reason)
	}
	if item.NoOp {
		what = "no-op"
	}
	if item.Webhook != nil {
		by = item.Webhook.Version
	}
	s.last = fmt.Sprintf("%s by %d", what, by)
	return make([]applier.Settlement, len(batch)), nil
}

func TestFoldKey(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"Alice@Example.COM", "alice@example.com"},
		{"ÄRGER", "ärger"},
		{"ΣΊΣΥΦΟΣ", "σίσυφος"},
		{"K", "\u212a"}, // Kelvin
	} {
		if a, b := applier.FoldKey(pair[0]), applier.FoldKey(pair[1]); a != b {
			t.Errorf("%q and %q fold to %q and %q", pair[0], pair[1], a, b)
		}
	}
	if applier.FoldKey("alice") == applier.FoldKey("alicé") {
		t.Error("accents are not case")
	}
}

func TestCurrencyFormat(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		scale  int
		amount int64
		want   string
	}{
		{0, 1250, "1250"},
		{2, 1250, "12.50"},
		{2, 5, "0.05"},
		{2, -5, "-0.05"},
		{2, -1250, "-12.50"},
		{6, 0, "0.000000"},
		{0, -9223372036854775808, "-9223372036854775808"},
		{2, -9223372036854775808, "-92233720368547758.08"},
	} {
		if got := (applier.Currency{Scale: tc.scale}).Format(tc.amount); got != tc.want {
			t.Errorf("%d with scale %d is %q, want %q", tc.amount, tc.scale, got, tc.want)
		}
	}
}

// The next owner settles the deliveries: they are no trouble of this applier.
func TestDeliveriesOfALostPartitionAreNoTrouble(t *testing.T) {
	t.Parallel()
	fenced := &applier.FencedError{Lost: []*applier.Lease{{Token: 1}}}
	r := &reporter{}
	a := applier.New(nil, nil, nil, &store{refuse: map[string]error{"a": fenced}}, r)
	verdicts := a.Settle(t.Context(), []applier.Item{{Delivery: &delivery.Delivery{Body: []byte("a")}}})
	if v := verdicts[0]; v.IsSettled() || !errors.Is(v.Err, fenced) {
		t.Errorf("the verdict is %+v", v)
	}
	if len(r.postponed) > 0 {
		t.Errorf("reported as trouble: %q", r.postponed)
	}
}

// A transaction that takes too long is tried in halves, in order. None of its deliveries
// is at fault, however long one takes.
func TestATransactionThatTakesTooLong(t *testing.T) {
	t.Parallel()
	evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
		return applier.Plan{}, nil, nil
	}
	for _, tc := range []struct {
		most      int
		alwaysOf  string // a body that takes too long by itself
		committed string
	}{
		{8, "", "[a b c d e f g h]"},
		{1, "", "[a b c d e f g h]"},
		{3, "", "[a b c d e f g h]"},
		{3, "e", "[a b c d]"},
	} {
		s := &store{most: tc.most, refuse: map[string]error{tc.alwaysOf: applier.ErrTooLong}}
		app := applier.New(definitions{byID: map[string]*webhook.Webhook{"active": {}}}, &communities{}, evaluate, s, &reporter{})
		verdicts := app.Handle(t.Context(), bodies("a b c d e f g h"))
		if got := fmt.Sprint(s.committed); got != tc.committed {
			t.Errorf("at most %d: %s are committed, want %s", tc.most, got, tc.committed)
		}
		for i, v := range verdicts {
			if v.IsSettled() != (i < len(s.committed)) {
				t.Errorf("at most %d: delivery %d: %+v", tc.most, i, v)
			}
		}
	}
}

// Very many changes are planned in parts.
func TestOnlySoManyChangesArePlanned(t *testing.T) {
	t.Parallel()
	evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
		return applier.Plan{Changes: make([]applier.Change, 10_000)}, nil, nil
	}
	app := applier.New(definitions{byID: map[string]*webhook.Webhook{"active": {}}}, &communities{}, evaluate, &store{}, &reporter{})
	batch := bodies("a b c d e")
	if n := len(app.Plan(t.Context(), batch)); n != 2 {
		t.Errorf("%d of 5 deliveries are planned, want 2", n)
	}
}
