package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// twoDays gives alice deliveries on two days, bob one on the first.
func twoDays(w *world) (alice, bob string) {
	day := time.Date(2025, 12, 21, 23, 59, 59, 999_999_000, time.UTC)
	next := day.Add(time.Microsecond)
	w.settled(mine, "alice@example.com", day, change(webhook.Add, "coins", 40), change(webhook.Add, "xp", 120))
	w.settled(mine, "bob@example.com", day, change(webhook.Add, "coins", 7))
	w.settled(mine, "alice@example.com", next, change(webhook.Add, "coins", 60), change(webhook.Add, "xp", 5))
	w.settled(mine, "alice@example.com", next.Add(12*time.Hour), change(webhook.Subtract, "coins", 10))
	w.settled(theirs, "alice@example.com", next, change(webhook.Add, "coins", 1000))
	w.clock.Store(next.Add(13 * time.Hour).UnixNano())
	for name, id := range map[string]*string{"alice": &alice, "bob@example.com": &bob} {
		u, err := w.Store.FindUser(w.t.Context(), mine, name)
		if err != nil {
			w.t.Fatal(err)
		}
		*id = u.ID.String()
	}
	return alice, bob
}

func TestDailyActivity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob := twoDays(w)
	aliceOn := func(as, date string, coins, xp int) string {
		return fmt.Sprintf(`{"identifier":%q,"user_id":%q,"date":%q,"coins":%d,"xp":%d}`, as, alice, date, coins, xp)
	}
	bobOn := func(date string, coins int) string {
		return fmt.Sprintf(`{"identifier":"bob@example.com","user_id":%q,"date":%q,"coins":%d,"xp":0}`, bob, date, coins)
	}
	const all = `{"identifier":["nobody@x","bob@example.com","ALICE@example.com","alice"],"identifier_type":"email","date":%q%s}`
	for _, tc := range []struct{ name, request, date, pagination, results string }{
		{
			"the first day", fmt.Sprintf(all, "21/12/2025", ""), "21/12/2025", `{"page":1,"limit":50,"total":4,"total_pages":1,"found":2}`,
			bobOn("21/12/2025", 7) + "," + aliceOn("ALICE@example.com", "21/12/2025", 40, 120),
		},
		{
			"the second", fmt.Sprintf(all, "22/12/2025", `,"page":1,"limit":100`), "22/12/2025", `{"page":1,"limit":100,"total":4,"total_pages":1,"found":2}`,
			bobOn("22/12/2025", 0) + "," + aliceOn("ALICE@example.com", "22/12/2025", 50, 5),
		},
		{
			"a day without anything", fmt.Sprintf(all, "23/12/2025", ""), "23/12/2025", `{"page":1,"limit":50,"total":4,"total_pages":1,"found":2}`,
			bobOn("23/12/2025", 0) + "," + aliceOn("ALICE@example.com", "23/12/2025", 0, 0),
		},
		{
			"the second page", fmt.Sprintf(all, "22/12/2025", `,"page":2,"limit":2`), "22/12/2025", `{"page":2,"limit":2,"total":4,"total_pages":2,"found":2}`,
			aliceOn("ALICE@example.com", "22/12/2025", 50, 5),
		},
		{"beyond the last page", fmt.Sprintf(all, "22/12/2025", `,"page":9223372036854775807`), "22/12/2025", `{"page":9223372036854775807,"limit":50,"total":4,"total_pages":1,"found":2}`, ""},
		{
			"by username", `{"identifier":["Alice"],"identifier_type":"username","date":"22/12/2025"}`, "22/12/2025", `{"page":1,"limit":50,"total":1,"total_pages":1,"found":1}`,
			aliceOn("Alice", "22/12/2025", 50, 5),
		},
		{"nobody", `{"identifier":["a\u0000b"],"identifier_type":"email","date":"22/12/2025"}`, "22/12/2025", `{"page":1,"limit":50,"total":1,"total_pages":1,"found":0}`, ""},
	} {
		got := w.post("/apis/v1/users/activity/daily", tc.request)
		want := fmt.Sprintf(`{"status":"success","message":%q,"data":{"date":%q,"pagination":%s,"results":[%s]}}`, got.Message, tc.date, tc.pagination, tc.results)
		if diff := cmp.Diff(object(t, []byte(want)), object(t, got.body)); diff != "" || got.status != http.StatusOK || got.Message == "" {
			t.Errorf("%s: %d %s", tc.name, got.status, diff)
		}
	}
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob := twoDays(w)
	if err := w.Store.SetField(t.Context(), mine, applier.Field{Name: "favourite_team", Type: applier.Text}); err != nil {
		t.Fatal(err)
	}
	w.Exec(`INSERT INTO user_fields (user_id, field, value, delivery_id, stream_epoch, stream_sequence, stream_index)
		VALUES ($1, 'favourite_team', 'red', $1, 0, 1, 0)`, alice)
	for ref, want := range map[string]string{
		"ALICE@example.com": `{"userId":"` + alice + `","username":"alice","xp":125,"coins":90,"xpEarnedToday":5,"coinsEarnedToday":50,"customFields":{"favourite_team":"red"}}`,
		bob:                 `{"userId":"` + bob + `","username":null,"xp":0,"coins":7,"xpEarnedToday":0,"coinsEarnedToday":0,"customFields":{}}`,
	} {
		got := w.post("/apis/v1/users/info", `{"idOrEmail":"`+ref+`"}`)
		if diff := cmp.Diff(object(t, []byte(want)), object(t, got.Data)); diff != "" || got.Status != "success" || got.Message == "" {
			t.Errorf("%s: %s", got.body, diff)
		}
	}
	other, err := w.Store.FindUser(t.Context(), theirs, "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"nobody@example.com", newID(), other.ID.String()} {
		got := w.post("/apis/v1/users/info", `{"idOrEmail":"`+ref+`"}`)
		if got.status != http.StatusNotFound || got.Status != "error" || got.Code != "user_not_found" {
			t.Errorf("%s answers %d %s", ref, got.status, got.body)
		}
	}
}

func TestBodiesAreStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const day, who = `"date":"22/12/2025"`, `"identifier":["a@x"],"identifier_type":"email"`
	many := strings.TrimSuffix(strings.Repeat(`"a@x",`, 101), ",")
	for _, tc := range []struct {
		path, body string
		status     int
		code       string
		message    string
	}{
		{"info", "", 415, "unsupported_media_type", "Send JSON"},
		{"info", "{", 400, "invalid_json", "The body cannot be read"},
		{"info", `{"idOrEmail":"a"}{}`, 400, "invalid_json", "The body cannot be read"},
		{"info", `{"idOrEmail":"a","idOrEmail":"b"}`, 400, "invalid_json", `The body cannot be read: the key "idOrEmail" stands there twice.`},
		{"info", "{\"idOrEmail\":\"\xff\"}", 400, "invalid_json", "The body cannot be read"},
		{"info", `[]`, 400, "invalid_request", "The body is not a JSON object."},
		{"info", `{}`, 400, "invalid_request", "idOrEmail is a user's id or email."},
		{"info", `null`, 400, "invalid_request", "idOrEmail is a user's id or email."},
		{"info", `{"idOrEmail":"a\u0000"}`, 400, "invalid_request", "idOrEmail is a user's id or email."},
		{"info", `{"idOrEmail":5}`, 400, "invalid_request", "The value at /idOrEmail is not of the right kind, or out of range."},
		{"info", `{"idoremail":"a"}`, 400, "invalid_request", `There is no key "idoremail".`},
		{"info?x=1", `{"idOrEmail":"a"}`, 400, "invalid_request", "There is no parameter"},
		{"info", `{"idOrEmail":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "payload_too_large", "The body is larger than 65536 bytes."},
		{"activity/daily", `{` + day + `,"identifier":[],"identifier_type":"email"}`, 400, "invalid_request", "identifier is an array"},
		{"activity/daily", `{` + day + `,"identifier":[` + many + `],"identifier_type":"email"}`, 400, "invalid_request", "identifier is an array"},
		{"activity/daily", `{` + day + `,"identifier":"a@x","identifier_type":"email"}`, 400, "invalid_request", "The value at /identifier"},
		{"activity/daily", `{` + day + `,"identifier":["a@x"]}`, 400, "invalid_request", "identifier_type is"},
		{"activity/daily", `{` + day + `,"identifier":["a@x"],"identifier_type":"id"}`, 400, "invalid_request", "identifier_type is"},
		{"activity/daily", `{` + who + `}`, 400, "invalid_request", "date is"},
		{"activity/daily", `{` + who + `,"date":"12/22/2025"}`, 400, "invalid_request", "date is"},
		{"activity/daily", `{` + who + `,"date":"1/2/2025"}`, 400, "invalid_request", "date is"},
		{"activity/daily", `{` + who + `,"date":"2025-12-22"}`, 400, "invalid_request", "date is"},
		{"activity/daily", `{` + who + `,` + day + `,"page":0}`, 400, "invalid_request", "page is"},
		{"activity/daily", `{` + who + `,` + day + `,"page":"1"}`, 400, "invalid_request", "The value at /page"},
		{"activity/daily", `{` + who + `,` + day + `,"page":1.5}`, 400, "invalid_request", "The value at /page"},
		{"activity/daily", `{` + who + `,` + day + `,"limit":101}`, 400, "invalid_request", "limit is 1 to 100."},
	} {
		got := w.post("/apis/v1/users/"+tc.path, tc.body)
		if got.status != tc.status || got.Code != tc.code || !strings.HasPrefix(got.Message, tc.message) {
			t.Errorf("%s %.80s answers %d %s", tc.path, tc.body, got.status, got.body)
		}
	}
	for header, value := range map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"} {
		r := w.request(http.MethodPost, "/apis/v1/users/info", `{"idOrEmail":"alice"}`)
		r.Header.Set(header, value)
		if got := w.send(r); got.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %s answers %d %s", header, value, got.status, got.body)
		}
	}
	r := w.request(http.MethodPost, "/apis/v1/users/info", `{"idOrEmail":"alice"}`)
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	if got := w.send(r); got.status != http.StatusOK {
		t.Errorf("with a charset: %d %s", got.status, got.body)
	}
}
