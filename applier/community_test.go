package applier_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestCurrencyParse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		scale int
		text  string
		want  int64
		err   string
	}{
		{2, "12.50", 1250, ""},
		{2, "12.5", 1250, ""},
		{2, "-0", 0, ""},
		{2, "1.25e1", 1250, ""},
		{0, "9223372036854775807", math.MaxInt64, ""},
		{0, "-9223372036854775807", -math.MaxInt64, ""},
		{0, "9223372036854775808", 0, "beyond"},
		{2, "92233720368547758.07", math.MaxInt64, ""},
		{2, "92233720368547758.08", 0, "beyond"},
		{0, "1e400", 0, "beyond"},
		{0, "1e999999999999999999999", 0, "beyond"},
		{2, "0.001", 0, "more decimals"},
		{0, "1e-400", 0, "more decimals"},
		{0, strings.Repeat("9", 10_000), 0, "beyond"},
		{0, "12,50", 0, "not a number"},
		{0, "", 0, "not a number"},
		{0, " 1", 0, "not a number"},
	} {
		got, err := applier.Currency{Code: "gems", Scale: tc.scale}.Parse(tc.text)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%.40s with scale %d is %d, %v", tc.text, tc.scale, got, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
}

func TestParseReadsWhatCurrencyFormatWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := applier.Currency{Code: "gems", Scale: rapid.IntRange(0, applier.MaxScale).Draw(t, "scale")}
		want := rapid.Int64Range(-math.MaxInt64, math.MaxInt64).Draw(t, "amount")
		if got, err := c.Parse(c.Format(want)); got != want || err != nil {
			t.Fatalf("%d is written %s and read as %d, %v", want, c.Format(want), got, err)
		}
	})
}

// handleGems has three deliveries that change gems settled.
func handleGems(t *testing.T, c *communities) (verdicts []delivery.Verdict, saw []*applier.Community) {
	t.Helper()
	w := &webhook.Webhook{}
	w.Community, w.Mappings = "guild", []webhook.Mapping{{Currency: "gems"}}
	evaluate := func(_ *webhook.Webhook, _ *delivery.Delivery, c *applier.Community) (applier.Plan, *delivery.Failure, error) {
		saw = append(saw, c)
		return applier.Plan{}, nil, nil
	}
	defs := definitions{byID: map[string]*webhook.Webhook{"w": w}}
	batch := []delivery.Delivery{{ID: delivery.ID{1}, WebhookID: "w"}, {ID: delivery.ID{2}, WebhookID: "w"}, {ID: delivery.ID{3}, WebhookID: "w"}}
	return applier.New(defs, c, evaluate, &store{}, &reporter{}).Handle(t.Context(), batch), saw
}

// What fails by a community from memory is looked at once more by what there is now.
func TestHandleFailsNothingByWhatWasChangedAMomentAgo(t *testing.T) {
	t.Parallel()
	old, now := &applier.Community{}, &applier.Community{}
	w := &webhook.Webhook{}
	w.Community, w.Mappings = "guild", []webhook.Mapping{{Currency: "coins"}}
	for _, tc := range []struct {
		reason    delivery.Reason
		failsNow  bool
		reads     int
		committed []string
	}{
		{delivery.InvalidFieldValue, false, 1, []string{"a", "b"}},
		{delivery.InvalidAmount, false, 1, []string{"a", "b"}},
		{delivery.InvalidAmount, true, 1, []string{"a invalid_amount", "b invalid_amount"}},
		{delivery.MissingField, false, 0, []string{"a missing_field", "b missing_field"}},
	} {
		c, s := &communities{old: old, now: now}, &store{}
		evaluate := func(_ *webhook.Webhook, _ *delivery.Delivery, c *applier.Community) (applier.Plan, *delivery.Failure, error) {
			if c == old || tc.failsNow {
				return applier.Plan{}, &delivery.Failure{Reason: tc.reason}, nil
			}
			return applier.Plan{}, nil, nil
		}
		batch := []delivery.Delivery{{ID: delivery.ID{1}, WebhookID: "w", Body: []byte("a")}, {ID: delivery.ID{2}, WebhookID: "w", Body: []byte("b")}}
		applier.New(definitions{byID: map[string]*webhook.Webhook{"w": w}}, c, evaluate, s, &reporter{}).Handle(t.Context(), batch)
		if diff := cmp.Diff(tc.committed, s.committed); diff != "" || c.reads != tc.reads {
			t.Errorf("%s: read again %d times; committed (-want +got):\n%s", tc.reason, c.reads, diff)
		}
	}
}

// A definition that has not arrived yet decides nothing for good.
func TestHandleWaitsForTheDefinitionThatTheIngressWentBy(t *testing.T) {
	t.Parallel()
	w := &webhook.Webhook{Revision: 4}
	deleted := &webhook.Webhook{Revision: 6}
	deleted.DeletedAt = new(time.Now())
	for name, tc := range map[string]struct {
		webhook  *webhook.Webhook
		received time.Time
		settled  bool
	}{
		"none yet":              {nil, time.Now(), false},
		"an older one":          {w, time.Now(), false},
		"a newer one":           {&webhook.Webhook{Revision: 5}, time.Now(), true},
		"deleted since":         {deleted, time.Now(), true},
		"none, and long ago":    {nil, time.Now().Add(-time.Minute), true},
		"an older one for good": {w, time.Now().Add(-time.Minute), true},
	} {
		evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
			return applier.Plan{}, nil, nil
		}
		defs := definitions{byID: map[string]*webhook.Webhook{"w": tc.webhook}}
		batch := []delivery.Delivery{{ID: delivery.ID{1}, WebhookID: "w", Revision: 5, ReceivedAt: tc.received}}
		verdicts := applier.New(defs, &communities{}, evaluate, &store{}, &reporter{}).Handle(t.Context(), batch)
		if verdicts[0].IsSettled() != tc.settled || verdicts[0].Parked == tc.settled {
			t.Errorf("%s: %+v", name, verdicts[0])
		}
	}
}

func TestHandleKnowsWhatWasAddedAMomentAgo(t *testing.T) {
	t.Parallel()
	gems := &applier.Community{Currencies: map[string]applier.Currency{"gems": {Code: "gems", Scale: 2}}}

	t.Run("what is known is not read again", func(t *testing.T) {
		t.Parallel()
		c := &communities{old: gems}
		if _, saw := handleGems(t, c); len(saw) != 3 || saw[0] != gems || c.reads != 0 {
			t.Errorf("%d evaluated, %d reads", len(saw), c.reads)
		}
	})
	t.Run("what is unknown is read once a batch", func(t *testing.T) {
		t.Parallel()
		c := &communities{now: gems}
		if _, saw := handleGems(t, c); len(saw) != 3 || saw[0] != gems || saw[2] != gems || c.reads != 1 {
			t.Errorf("%d evaluated, %d reads", len(saw), c.reads)
		}
	})
	t.Run("what is still unknown is for the mapping to say", func(t *testing.T) {
		t.Parallel()
		c := &communities{now: &applier.Community{}}
		if verdicts, saw := handleGems(t, c); len(saw) != 3 || !verdicts[0].IsSettled() || c.reads != 1 {
			t.Errorf("%d evaluated, %d reads, %v", len(saw), c.reads, verdicts)
		}
	})
	t.Run("a database that is away is asked once, and nothing fails", func(t *testing.T) {
		t.Parallel()
		c := &communities{err: errors.New("away")}
		verdicts, saw := handleGems(t, c)
		if len(saw) != 0 || c.asked != 1 || verdicts[0].IsSettled() || verdicts[2].IsSettled() {
			t.Errorf("%d evaluated, asked %d times, %v", len(saw), c.asked, verdicts)
		}
	})
}
