package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// newLetter is a dead letter as it comes from an export.
func newLetter(change ...func(*postgres.FullDeadLetter)) postgres.FullDeadLetter {
	now := time.Now().UTC().Truncate(time.Microsecond)
	d := postgres.FullDeadLetter{
		Letter: admin.Letter{
			Delivery: admin.Delivery{
				ID: delivery.NewID(), Community: community, WebhookID: shop.ID, Webhook: "Shop", Reason: new(delivery.MissingField), Detail: new("The path order.coins is absent."), Attempts: 1, ReceivedAt: now,
			},
			Version: 3, Path: new("order.coins"), FailedAt: now.Add(time.Millisecond),
		},
		Body: postgres.DeadLetterBody{Headers: []delivery.Header{{Name: "X-Event", Value: "a\x00b"}}, Payload: []byte(`{"a":"\u0000"}`), Method: "PUT", Query: "a=\xff\x00"},
	}
	for _, f := range change {
		f(&d)
	}
	return d
}

// bring imports letters, all of which are new.
func bring(tb testing.TB, s *postgres.Store, letters ...postgres.FullDeadLetter) {
	tb.Helper()
	results, err := s.ImportDeadLetters(tb.Context(), letters)
	if err != nil {
		tb.Fatal(err)
	}
	for i, r := range results {
		if r != postgres.LetterAdded {
			tb.Fatalf("letter %d was %s", i, r)
		}
	}
}

func listed(tb testing.TB, s *postgres.Store, f postgres.DeadLetterFilter) (ids []delivery.ID) {
	tb.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	all, err := s.ListDeadLetters(tb.Context(), f)
	if err != nil {
		tb.Fatal(err)
	}
	for _, d := range all {
		ids = append(ids, d.ID)
	}
	return ids
}

func TestADeadLetterIsListedWithAllThatIsKnown(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	poor := plan(t, "alice@example.com", change(webhook.Subtract, "coins", 1))
	missing := plan(t, "Nobody@example.com", change(webhook.Add, "coins", 1))
	settle(t, s, poor, missing)
	all, err := s.ListDeadLetters(t.Context(), postgres.DeadLetterFilter{Limit: 10})
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	d := all[1]
	if d.ID != poor.Delivery.ID || d.Webhook != "Shop" || d.WebhookID != shop.ID || d.Community != community || d.Version != 3 ||
		*d.Reason != delivery.InsufficientBalance || *d.Detail == "" || d.User == nil || d.User.Email != "alice@example.com" || d.UserKey != "" ||
		d.Attempts != 1 || d.PayloadBytes != len(poor.Delivery.Body) || d.Edited || !d.ReceivedAt.Equal(poor.Delivery.ReceivedAt) || d.FailedAt.Before(d.ReceivedAt) {
		t.Errorf("listed as %+v", d)
	}
	if d := all[0]; d.User != nil || d.UserBy != "email" || d.UserKey != "nobody@example.com" {
		t.Errorf("one whose user is missing is listed as %+v", d)
	}
}

func TestDeadLettersAreNarrowed(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	hour := time.Now().UTC().Truncate(time.Hour)
	user := delivery.NewID()
	at := func(t time.Time) func(*postgres.FullDeadLetter) {
		return func(d *postgres.FullDeadLetter) {
			d.ReceivedAt = t
			d.ID = idAt(t)
		}
	}
	old := newLetter(at(hour.Add(-48 * time.Hour)))
	other := newLetter(at(hour.Add(-3*time.Hour)), func(d *postgres.FullDeadLetter) {
		d.WebhookID, d.Webhook, d.Community = "wh_bbbbbbbbbbbbbbbbbbbbbbbbbb", "Other", "elsewhere"
	})
	poor := newLetter(at(hour.Add(-2*time.Hour)), func(d *postgres.FullDeadLetter) {
		d.Reason, d.Path, d.Detail, d.User = new(delivery.InsufficientBalance), nil, new("100% of the COINS"), &admin.User{ID: user}
	})
	waiting := newLetter(at(hour.Add(-time.Hour)), func(d *postgres.FullDeadLetter) {
		d.Reason, d.UserBy, d.UserKey = new(delivery.UserNotFound), "email", "bob@example.com"
	})
	elsewhere := newLetter(at(hour), func(d *postgres.FullDeadLetter) {
		d.Reason, d.UserBy, d.UserKey, d.Community = new(delivery.UserNotFound), "email", "bob@example.com", "elsewhere"
	})
	bring(t, s, old, other, poor, waiting, elsewhere)
	bob := &postgres.UserKeys{Community: community, Keys: []string{"bob", "bob@example.com"}}
	for name, tc := range map[string]struct {
		filter postgres.DeadLetterFilter
		want   []delivery.ID
	}{
		"not at all, newest first": {postgres.DeadLetterFilter{}, []delivery.ID{elsewhere.ID, waiting.ID, poor.ID, other.ID, old.ID}},
		"oldest first":             {postgres.DeadLetterFilter{OldestFirst: true, Limit: 2}, []delivery.ID{old.ID, other.ID}},
		"to a page":                {postgres.DeadLetterFilter{After: waiting.ID, Limit: 2}, []delivery.ID{poor.ID, other.ID}},
		"to a page, oldest first":  {postgres.DeadLetterFilter{OldestFirst: true, After: other.ID, Newest: waiting.ID}, []delivery.ID{poor.ID, waiting.ID}},
		"by id":                    {postgres.DeadLetterFilter{IDs: []delivery.ID{old.ID, delivery.NewID()}}, []delivery.ID{old.ID}},
		"by no id":                 {postgres.DeadLetterFilter{IDs: []delivery.ID{}}, nil},
		"by webhook":               {postgres.DeadLetterFilter{WebhookID: other.WebhookID}, []delivery.ID{other.ID}},
		"by community":             {postgres.DeadLetterFilter{Community: "elsewhere"}, []delivery.ID{elsewhere.ID, other.ID}},
		"by reason":                {postgres.DeadLetterFilter{Reason: delivery.InsufficientBalance}, []delivery.ID{poor.ID}},
		"by path":                  {postgres.DeadLetterFilter{Path: new("order.coins"), Community: community}, []delivery.ID{waiting.ID, old.ID}},
		"by no path":               {postgres.DeadLetterFilter{Path: new("")}, []delivery.ID{poor.ID}},
		"by user":                  {postgres.DeadLetterFilter{UserID: user}, []delivery.ID{poor.ID}},
		"by missing user":          {postgres.DeadLetterFilter{WaitingFor: bob}, []delivery.ID{waiting.ID}},
		"by both":                  {postgres.DeadLetterFilter{UserID: user, WaitingFor: bob}, []delivery.ID{waiting.ID, poor.ID}},
		"since":                    {postgres.DeadLetterFilter{Since: waiting.ReceivedAt}, []delivery.ID{elsewhere.ID, waiting.ID}},
		"until":                    {postgres.DeadLetterFilter{Until: poor.ReceivedAt}, []delivery.ID{other.ID, old.ID}},
		"by text":                  {postgres.DeadLetterFilter{Text: "% of the coins"}, []delivery.ID{poor.ID}},
		"by text that is no text":  {postgres.DeadLetterFilter{Text: "%"}, []delivery.ID{poor.ID}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, listed(t, s, tc.filter)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// idAt makes an id of that time.
func idAt(t time.Time) delivery.ID {
	id := delivery.NewID()
	for i, ms := 0, t.UnixMilli(); i < 6; i++ {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}

func TestDeadLettersAreGrouped(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	named := func(name string) func(*postgres.FullDeadLetter) {
		return func(d *postgres.FullDeadLetter) { d.Webhook = name }
	}
	first := newLetter(named("Shop"))
	second := newLetter(named("Shop"))
	renamed := newLetter(named("Store"))
	noPath := newLetter(func(d *postgres.FullDeadLetter) { d.Path = nil })
	other := newLetter(func(d *postgres.FullDeadLetter) {
		d.WebhookID, d.Reason = "wh_bbbbbbbbbbbbbbbbbbbbbbbbbb", new(delivery.Internal)
	})
	bring(t, s, renamed, second, first, noPath, other)

	groups, err := s.GroupDeadLetters(t.Context(), postgres.DeadLetterFilter{})
	if err != nil || len(groups) != 3 {
		t.Fatalf("%+v, %v", groups, err)
	}
	g := groups[0]
	want := admin.Group{
		WebhookID: shop.ID, Reason: delivery.MissingField, Path: new("order.coins"), Count: 3, FirstAt: first.ReceivedAt, LastAt: renamed.ReceivedAt,
		Example: renamed.ID, Webhook: "Store", Community: community,
	}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Error(diff)
	}
	if groups[1].Example != other.ID || groups[2].Example != noPath.ID || groups[2].Path != nil {
		t.Errorf("of groups with one letter each the newest comes first: %+v", groups[1:])
	}
	groups, err = s.GroupDeadLetters(t.Context(), postgres.DeadLetterFilter{Path: new("")})
	if err != nil || len(groups) != 1 || groups[0].Count != 1 {
		t.Errorf("narrowed: %+v, %v", groups, err)
	}
	ids, err := s.DeadLetterWebhooks(t.Context(), community, "Shop")
	if diff := cmp.Diff([]string{shop.ID, other.WebhookID}, ids); diff != "" || err != nil {
		t.Errorf("webhooks by their name: %v, %s", err, diff)
	}
}

func TestFailuresComeInTheirOrder(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	at := time.Now().UTC().Truncate(time.Second)
	var letters []postgres.FullDeadLetter
	for _, after := range []time.Duration{3, 1, 1, 2} {
		letters = append(letters, newLetter(func(d *postgres.FullDeadLetter) { d.FailedAt = at.Add(after * time.Second) }))
	}
	bring(t, s, letters...)
	var got []delivery.ID
	for after := (postgres.Failure{At: at}); ; {
		page, err := s.Failures(t.Context(), after, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		after = page[0]
		got = append(got, after.ID)
	}
	if diff := cmp.Diff([]delivery.ID{letters[1].ID, letters[2].ID, letters[3].ID, letters[0].ID}, got); diff != "" {
		t.Error(diff)
	}
	beyond, err := s.Failures(t.Context(), postgres.Failure{At: at.Add(3 * time.Second)}, 10)
	if err != nil || !slices.ContainsFunc(beyond, func(f postgres.Failure) bool { return f.ID == letters[0].ID }) {
		t.Errorf("those of the moment itself are left out: %v, %v", beyond, err)
	}
}
