package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// cells are the texts of a table's rows.
func cells(p *page, rows string) (all [][]string) {
	p.Find(rows).Each(func(_ int, row *goquery.Selection) {
		all = append(all, row.Find("td, th").Map(func(_ int, s *goquery.Selection) string { return strings.Join(strings.Fields(s.Text()), " ") }))
	})
	return all
}

func TestUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.user("alice@example.com")
	w.user("bob@example.com")
	shop := w.webhook("Shop")
	w.settle()
	w.settled(shop, `{"user":"alice@example.com","coins":50}`)

	p := w.admin.get("/users?search=ALIC")
	if rows := cells(p, "#users tbody tr"); len(rows) != 1 || rows[0][0] != "alice@example.com" || rows[0][2] != "Coins 50, XP 0" {
		t.Errorf("found %q", rows)
	}
	p = w.admin.get("/users/" + alice.String())
	if got := p.text("main"); !strings.Contains(got, "alice@example.com") || !strings.Contains(got, "Coins 50") {
		t.Errorf("the page says %q", got)
	}
	days := cells(p, "#days tbody tr")
	if len(days) != 30 || days[29][1] != "50" || days[29][2] != "0" || days[28][1] != "0" {
		t.Errorf("the days are %q", days)
	}
	if rows := cells(p, "table.rows tbody tr"); len(rows) != 1 || rows[0][2] != "Coins +50 → 50" {
		t.Errorf("the deliveries are %q", rows)
	}
	if p := w.admin.get("/users/nobody"); p.status != http.StatusNotFound {
		t.Errorf("nobody's page has status %d", p.status)
	}
}

func TestUsersAreAddedAndChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	p := w.admin.post("/users", url.Values{"email": {"alice@EXAMPLE.com"}})
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("#add-problem"), `The email "alice@EXAMPLE.com" is that of the user "alice@example.com" (`) || p.Find(`input[name=email][value="alice@EXAMPLE.com"]`).Length() != 1 {
		t.Errorf("a second alice: status %d, %q", p.status, p.text("#add-problem"))
	}
	if p = w.admin.post("/users", url.Values{"email": {"no at sign"}}); !strings.Contains(p.text("#add-problem"), "needs an @") {
		t.Errorf("no email: %q", p.text("#add-problem"))
	}
	p = w.admin.post("/users", url.Values{"email": {" carol@example.com "}, "username": {"carol"}})
	if p.status != http.StatusSeeOther {
		t.Fatalf("carol: status %d, %q", p.status, p.text("main"))
	}
	p = w.admin.get("/users?search=carol")
	link := p.Find("#users tbody a").AttrOr("href", "")
	p = w.admin.post(link, url.Values{"email": {"caro@example.com"}, "username": {""}})
	if p.status != http.StatusSeeOther {
		t.Errorf("rename: status %d, %q", p.status, p.text("main"))
	}
	if got := w.admin.get(link).text("h1"); got != "caro@example.com" {
		t.Errorf("she is %q now", got)
	}
	trail := w.admin.get("/trail").text("main")
	for _, what := range []string{"add user", "change user"} {
		if !strings.Contains(trail, what) {
			t.Errorf("the trail lacks %q", what)
		}
	}
	viewer := w.signedIn("val", admin.Viewer)
	if p := viewer.post("/users", url.Values{"email": {"x@example.com"}}); p.status != http.StatusForbidden {
		t.Errorf("a viewer adds: status %d", p.status)
	}
	if p := viewer.get("/users"); p.Find("form[method=post][action^='/users']").Length() != 0 {
		t.Error("a viewer sees forms")
	}
}

func TestGamificationLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.user("alice@example.com")
	shop, quiz := w.webhook("=Shop"), w.webhook("Quiz")
	w.settle()
	w.settled(shop, `{"user":"alice@example.com","coins":50}`)
	id := w.settled(quiz, `{"user":"alice@example.com","coins":7}`)

	p := w.admin.get("/logs")
	rows := cells(p, "#logs tbody tr")
	if len(rows) != 2 || !slices.Equal(rows[0][1:6], []string{"alice@example.com", "Coins", "+7", "57", "Quiz"}) {
		t.Errorf("the logs are %q", rows)
	}
	if p.Find(`#logs a[href="/deliveries/`+id.String()+`"]`).Length() != 1 {
		t.Error("there is no link to the delivery")
	}
	for query, want := range map[string]int{
		"user=ALICE@example.com": 2, "user=" + alice.String(): 2, "webhook=" + quiz.ID: 1, "currency=xp": 0, "currency=coins": 2,
		"since=2020-01-01T00:00": 2, "until=2020-01-01T00:00": 0,
	} {
		if got := len(cells(w.admin.get("/logs?"+query), "#logs tbody tr")); got != want {
			t.Errorf("%s: %d rows, want %d", query, got, want)
		}
	}
	if p := w.admin.get("/logs?user=nobody"); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("[role=alert]"), "no user") {
		t.Errorf("nobody's: status %d, %q", p.status, p.text("[role=alert]"))
	}
	file := w.admin.get("/logs.csv?user=alice@example.com")
	lines := strings.Split(strings.TrimRight(file.body, "\r\n"), "\r\n")
	if len(lines) != 3 || lines[0] != "at,email,username,user_id,currency,operator,amount,balance,action,delivery_id" ||
		!strings.Contains(lines[1], ",coins,add,7,57,Quiz,") || !strings.Contains(lines[2], ",coins,add,50,50,'=Shop,") {
		t.Errorf("the file has %q", lines)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.admin.post("/settings/currencies", url.Values{"code": {"gems"}, "scale": {"2"}, "min": {"0.001"}})
	if p.status != http.StatusUnprocessableEntity || p.Find(`input[name=min][aria-invalid=true][value="0.001"]`).Length() != 1 ||
		!strings.Contains(p.text("[role=alert]"), "more decimals than gems keeps") {
		t.Errorf("status %d, %q", p.status, p.text("[role=alert]"))
	}
	if p = w.admin.post("/settings/currencies", url.Values{"code": {"gems"}, "scale": {"2"}, "min": {"-1.50"}}); p.status != http.StatusSeeOther {
		t.Errorf("status %d, %q", p.status, p.text("[role=alert]"))
	}
	p = w.admin.get("/settings")
	found := false
	for _, row := range cells(p, "table tbody tr") {
		found = found || slices.Equal(row[:5], []string{"gems", "gems", "2", "−1.50", "none"})
	}
	if !found {
		t.Errorf("the currencies are %q", cells(p, "table tbody tr"))
	}
	if p = w.admin.post("/settings/fields", url.Values{"name": {"team"}, "type": {"select"}, "options": {"red\nblue\nred"}}); !strings.Contains(p.text("[role=alert]"), "twice") {
		t.Errorf("a double option: %q", p.text("[role=alert]"))
	}
	if p = w.admin.post("/settings/fields", url.Values{"name": {"team"}, "type": {"select"}, "options": {"red\r\nblue\r\n"}}); p.status != http.StatusSeeOther {
		t.Errorf("status %d, %q", p.status, p.text("[role=alert]"))
	}
	p = w.admin.get("/settings/fields/team/delete")
	if !strings.Contains(p.text("main"), "Webhooks that set it fail") {
		t.Errorf("the question is %q", p.text("main"))
	}
	if p = w.admin.post("/settings/fields/team/delete", nil); p.status != http.StatusSeeOther {
		t.Errorf("status %d, %q", p.status, p.text("main"))
	}
	if p = w.admin.post("/settings/fields/team/delete", nil); p.status != http.StatusNotFound {
		t.Errorf("again: status %d", p.status)
	}
}

// filled is a form of the page as a browser would send it, with other values.
func filled(p *page, selector string, values ...string) url.Values {
	form := url.Values{}
	p.Find(selector).Find("input, textarea, select").Each(func(_ int, field *goquery.Selection) {
		value := field.AttrOr("value", "")
		switch {
		case field.Is("textarea"):
			value = field.Text()
		case field.Is("select"):
			value = field.Find("option[selected]").Text()
		}
		form.Set(field.AttrOr("name", ""), value)
	})
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return form
}

// Two who change the same thing from pages of the same moment lose nothing of each
// other's.
func TestTwoChangeTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	saved := func(path string, form url.Values) {
		t.Helper()
		if p := w.admin.post(path, form); p.status != http.StatusSeeOther {
			t.Errorf("%s %v: status %d, %q", path, form, p.status, p.text("[role=alert]"))
		}
	}
	const currencies, fields = "/settings/currencies", "/settings/fields"
	saved(currencies, url.Values{"code": {"gems"}, "scale": {"2"}, "min": {"0"}, "max": {"none"}})
	saved(fields, url.Values{"name": {"team"}, "type": {"select"}, "options": {"red\r\nblue"}})
	page := w.admin.get("/settings")
	gems, team := `form:has(input[name=code][value=gems])`, `form:has(input[name=name][value=team])`
	saved(currencies, filled(page, gems, "max", "1000.00"))
	saved(currencies, filled(page, gems, "min", "-5"))
	row := cells(w.admin.get("/settings"), "table tbody tr:has(input[value=gems])")
	if len(row) != 1 || !slices.Equal(row[0][1:5], []string{"gems", "2", "−5.00", "1 000.00"}) {
		t.Errorf("gems are %q", row)
	}
	saved(fields, filled(page, team, "options", "red\nblue\ngreen"))
	p := w.admin.post(fields, filled(page, team, "options", "red"))
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("[role=alert]"), "meanwhile") || p.Find(team+" textarea").Text() != "red" {
		t.Errorf("status %d, %q", p.status, p.text("main"))
	}
	saved(fields, filled(p, team)) // again means it

	// Whoever adds what is there does not mean to replace it.
	for path, form := range map[string]url.Values{
		currencies: {"code": {"gems"}, "scale": {"0"}, "min": {"0"}}, fields: {"name": {"team"}, "type": {"text"}},
	} {
		if p := w.admin.post(path, form); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("[role=alert]"), "already") {
			t.Errorf("%s: status %d, %q", path, p.status, p.text("main"))
		}
	}

	alice := "/users/" + w.user("alice@example.com").String()
	page = w.admin.get(alice)
	saved(alice, filled(page, `form[action="`+alice+`"]`, "email", "alice@example.org"))
	saved(alice, filled(page, `form[action="`+alice+`"]`, "username", "alice"))
	if got := w.admin.get(alice).text("dl"); !strings.Contains(got, "alice@example.org") || !strings.Contains(got, "Usernamealice") {
		t.Errorf("she is %q", got)
	}
	if p := w.admin.post(alice, filled(w.admin.get(alice), `form[action="`+alice+`"]`, "email", "", "username", "")); p.status != http.StatusUnprocessableEntity {
		t.Errorf("without a name: status %d", p.status)
	}
}

// Of several who save the same thing at the same moment, from pages that show the same, one
// does. The others are told.
func TestSeveralSaveAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const currencies, fields, at = "/settings/currencies", "/settings/fields", 8
	atOnce := func(about, path string, form func(n int) url.Values) {
		t.Helper()
		var saved, told atomic.Int32
		var group sync.WaitGroup
		for n := range at {
			group.Go(func() {
				switch p := w.admin.post(path, form(n)); p.status {
				case http.StatusSeeOther:
					saved.Add(1)
				case http.StatusUnprocessableEntity:
					told.Add(1)
				default:
					t.Errorf("%s: %d %s", about, p.status, p.text("main"))
				}
			})
		}
		group.Wait()
		if saved.Load() != 1 || told.Load() != at-1 {
			t.Errorf("%s: %d of %d saved, %d were told", about, saved.Load(), at, told.Load())
		}
	}
	options := func(n int) string { return fmt.Sprintf("red\r\nblue %d", n) }
	atOnce("a new field", fields, func(n int) url.Values {
		return url.Values{"name": {"team"}, "type": {"select"}, "options": {options(n)}}
	})
	page := w.admin.get("/settings")
	atOnce("a field", fields, func(n int) url.Values {
		return filled(page, `form:has(input[name=name][value=team])`, "options", options(n+at))
	})
	atOnce("a new currency", currencies, func(n int) url.Values {
		return url.Values{"code": {"gems"}, "scale": {"0"}, "min": {"0"}, "max": {strconv.Itoa(n + 1)}}
	})
}

// The way back to the newest of a list keeps what the list is narrowed to.
func TestTheNewestOfAListIsOfTheSameList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := w.user("alice@example.com")
	shop := w.webhook("Shop")
	w.settle()
	w.settled(shop, `{"user":"alice@example.com","coins":50}`)
	last := delivery.NewID().String()
	for path, want := range map[string]string{
		"/logs?currency=coins&user=" + user.String() + "&before=1000000000": "/logs?currency=coins&user=" + user.String(),
		"/users?search=alice&community=default&before=" + last:              "/users?community=default&search=alice",
		"/users?community=default&sort=email&after=a":                       "/users?community=default&sort=email",
	} {
		if got := w.admin.get(path).Find(".pager a").First().AttrOr("href", ""); got != want {
			t.Errorf("from %s it leads to %q, want %q", path, got, want)
		}
	}
}
