package console

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type usersData struct {
	Search, Community string
	Communities       []option
	Users             []userRow
	Newest, Older     string // the first page, and the next one, empty if there is none
	// ByEmail: they are in that order, and those without an email are left out. Heads are
	// the links to the orders there are.
	ByEmail bool
	Heads   map[string]sortHead
	File    string // all of them
	IsFirst bool
	// Add and Import are what was typed into the forms, and what is wrong with it.
	Add    userForm
	Import importResult
}

type userRow struct {
	users.Profile
	Balances []amountOf
}

// amountOf is an amount of a currency, to be shown.
type amountOf struct{ Currency, Amount string }

// userForm is what was typed, and what the page had when it was read. Part is the
// field that Error is about, or empty: both.
type userForm struct{ Email, Username, WasEmail, WasUsername, Error, Part string }

// changed returns nil for what is as it was: somebody else may have changed it.
func changed(text, was string) *string {
	if text == was {
		return nil
	}
	return &text
}

// users lists users, newest first.
func (s *Console) users(c *request) error {
	return s.usersPage(c, http.StatusOK, usersData{})
}

func (s *Console) usersPage(c *request, status int, data usersData) error {
	data.Search = strings.TrimSpace(c.QueryParam("search"))
	if data.Community == "" {
		data.Community = c.FormValue("community")
	}
	var err error
	if data.Communities, _, err = s.options(c, ""); err != nil {
		return err
	}
	filter := users.Filter{Community: data.Community, Search: data.Search, Limit: pageSize + 1}
	if text := c.QueryParam("before"); text != "" {
		if filter.Before, err = delivery.ParseID(text); err != nil {
			return wrongPlace("users: /users")
		}
	}
	data.sort(c, &filter)
	data.IsFirst = filter.Before == (delivery.ID{}) && filter.AfterEmail == ""
	data.File = "/users.csv?" + url.Values{"search": {data.Search}, "community": {data.Community}}.Encode()
	list, err := s.Users.List(c.ctx(), filter)
	if err != nil {
		return err
	}
	form := listForm{url.Values{}}.with("search", data.Search).with("community", data.Community)
	if data.ByEmail {
		form = form.with("sort", "email")
	}
	data.Newest = form.Address("/users")
	if len(list) > pageSize {
		list = list[:pageSize]
		last := list[pageSize-1]
		if data.ByEmail {
			form = form.with("after", admin.OrEmpty(last.Email))
		} else {
			form = form.with("before", last.ID.String())
		}
		data.Older = form.Address("/users")
	}
	for _, u := range list {
		data.Users = append(data.Users, userRow{u, amountsOf(u.Balances)})
	}
	return c.pageWith(status, "users", "Users", data)
}

// sort has the list sorted by email, where the address says so. That is for one community,
// and for no search: else no index has the order.
func (d *usersData) sort(c *request, f *users.Filter) {
	d.Heads = map[string]sortHead{"email": {Text: "Email"}, "since": {Text: "Since", Address: c.sortAddress("since", true), Sort: "descending"}}
	if d.Search != "" || f.Community == "" && len(d.Communities) != 1 {
		return
	}
	email := sortHead{Text: "Email", Address: c.sortAddress("email", false)}
	if d.ByEmail = c.QueryParam("sort") == "email"; d.ByEmail {
		f.Community = cmp.Or(f.Community, d.Communities[0].Value)
		f.ByEmail, f.AfterEmail, f.Before = true, c.QueryParam("after"), delivery.ID{}
		email.Sort = "ascending"
		d.Heads["since"] = sortHead{Text: "Since", Address: c.sortAddress("since", true)}
	}
	d.Heads["email"] = email
}

// usersFile sends the list as CSV.
func (s *Console) usersFile(c *request) error {
	filter := users.Filter{Community: c.QueryParam("community"), Search: strings.TrimSpace(c.QueryParam("search")), Limit: csvPage}
	read := func() ([]users.Profile, error) { return s.Users.List(c.ctx(), filter) }
	return csvFile(c, "users", userColumns, read, func(last users.Profile) { filter.Before = last.ID }, userCells)
}

var userColumns = []string{"id", "community", "email", "username", "coins", "xp", "other_balances", "created_at"}

func userCells(u users.Profile) []string {
	var others []string
	for _, code := range slices.Sorted(maps.Keys(u.Balances)) {
		if code != "coins" && code != "xp" {
			others = append(others, code+" "+u.Balances[code])
		}
	}
	return []string{
		u.ID.String(), u.Community, admin.OrEmpty(u.Email), admin.OrEmpty(u.Username), u.Balances["coins"], u.Balances["xp"], strings.Join(others, ", "),
		u.CreatedAt.UTC().Format(time.RFC3339Nano),
	}
}

// amountsOf puts amounts in order.
func amountsOf(balances map[string]string) []amountOf {
	var all []amountOf
	for _, code := range slices.SortedFunc(maps.Keys(balances), currencyOrder) {
		all = append(all, amountOf{currencyName(code), balances[code]})
	}
	return all
}

// currencyOrder has coins and XP first.
func currencyOrder(a, b string) int {
	first := map[string]int{"coins": -2, "xp": -1}
	return cmp.Or(cmp.Compare(first[a], first[b]), cmp.Compare(a, b))
}

func (s *Console) addUser(c *request) error {
	form := userForm{Email: c.FormValue("email"), Username: c.FormValue("username")}
	id, err := s.Users.Add(c.ctx(), communityIn(c), users.NewUser{Email: form.Email, Username: form.Username})
	if form.Error, form.Part = userProblem(err); form.Error != "" {
		return s.usersPage(c, http.StatusUnprocessableEntity, usersData{Add: form})
	}
	if err != nil {
		return err
	}
	return c.recordDone("add user", "user", id.String(), map[string]any{"community": communityIn(c)},
		"/users/"+id.String(), "The user was added.")
}

// communityIn is the community that a form is about.
func communityIn(c *request) string {
	if name := c.FormValue("community"); name != "" {
		return name
	}
	return c.firstCommunity()
}

// userProblem is what a form says of an error that the person can mend, and which
// field it is about; else nothing.
func userProblem(err error) (text, part string) {
	invalid, isInvalid := errors.AsType[*users.Invalid](err)
	taken, isTaken := errors.AsType[*users.NameTaken](err)
	switch {
	case isInvalid:
		return sentence(invalid.Error()), invalid.Part
	case isTaken:
		return sentence(taken.Error()), string(taken.By)
	case errors.Is(err, users.ErrExists):
		return "Another user of the community has this email or username.", ""
	}
	return "", ""
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

type userData struct {
	users.Profile
	Name     string
	Balances []amountOf
	Fields   []amountOf
	History  []users.FieldEntry

	Span       int // days of the chart
	Currencies []option
	Days       []dayRow

	Deliveries []admin.Delivery
	Form       userForm

	Adjust     adjustForm
	Adjustable []option // the currencies of the community
}

type dayRow struct {
	Day  time.Time
	Nets []string // in the order of the currencies
}

// fieldsShown and deliveriesShown bound the lists of a user's page.
const (
	fieldsShown     = 100
	deliveriesShown = 20
)

// user shows one user.
func (s *Console) user(c *request, u users.Profile) error {
	return s.userPage(c, http.StatusOK, u, userFormOf(u), newAdjustForm())
}

func userFormOf(u users.Profile) userForm {
	email, username := admin.OrEmpty(u.Email), admin.OrEmpty(u.Username)
	return userForm{Email: email, Username: username, WasEmail: email, WasUsername: username}
}

// nameOf is what people call a user.
func nameOf(u users.Profile) string {
	return cmp.Or(admin.OrEmpty(u.Email), admin.OrEmpty(u.Username), u.ID.String())
}

func (s *Console) findProfile(c *request) (users.Profile, error) {
	u, err := s.Users.Profile(c.ctx(), communityIn(c), c.Param("id"))
	c.community = u.Community
	if errors.Is(err, users.ErrNotFound) {
		return u, failf(http.StatusNotFound, "There is no such user. Look for them in the list of users.")
	}
	return u, err
}

func (s *Console) userPage(c *request, status int, u users.Profile, form userForm, adjust adjustForm) (err error) {
	data := userData{Profile: u, Name: nameOf(u), Balances: amountsOf(u.Balances), Form: form, Adjust: adjust, Span: 30}
	if c.QueryParam("days") == "90" {
		data.Span = 90
	}
	if c.may(u.Community, admin.Editor) {
		known, err := s.Settings.Currencies(c.ctx(), u.Community)
		if err != nil {
			return err
		}
		for _, one := range known {
			data.Adjustable = append(data.Adjustable, option{one.Code, currencyName(one.Code)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(u.Fields)) {
		data.Fields = append(data.Fields, amountOf{name, u.Fields[name]})
	}
	if data.History, err = s.Users.FieldHistory(c.ctx(), users.FieldFilter{UserID: u.ID, Limit: fieldsShown}); err != nil {
		return err
	}
	if err := s.addDays(c, &data); err != nil {
		return err
	}
	page, err := s.History.Page(c.ctx(), history.Filter{UserID: u.ID, Limit: deliveriesShown}, history.Place{})
	if err != nil {
		return err
	}
	data.Deliveries = page.Deliveries
	return c.pageWith(status, "user", data.Name, data)
}

// addDays adds the gain of each day, in coins, XP and every other currency that changed.
func (s *Console) addDays(c *request, data *userData) error {
	days, err := s.Users.Days(c.ctx(), data.ID, time.Now(), data.Span)
	if err != nil {
		return err
	}
	codes := []string{"coins", "xp"}
	for _, d := range days {
		for code := range d.Net {
			if !slices.Contains(codes, code) {
				codes = append(codes, code)
			}
		}
	}
	slices.SortFunc(codes, currencyOrder)
	for _, code := range codes {
		data.Currencies = append(data.Currencies, option{code, currencyName(code)})
	}
	for _, d := range days {
		row := dayRow{Day: d.Day}
		for _, code := range codes {
			row.Nets = append(row.Nets, cmp.Or(d.Net[code], "0"))
		}
		data.Days = append(data.Days, row)
	}
	return nil
}

func (s *Console) renameUser(c *request, u users.Profile) error {
	form := userForm{Email: c.FormValue("email"), Username: c.FormValue("username"), WasEmail: c.FormValue("was_email"), WasUsername: c.FormValue("was_username")}
	err := s.Users.Rename(c.ctx(), u.ID, users.Change{Email: changed(form.Email, form.WasEmail), Username: changed(form.Username, form.WasUsername)})
	if form.Error, form.Part = userProblem(err); form.Error != "" {
		return s.userPage(c, http.StatusUnprocessableEntity, u, form, newAdjustForm())
	}
	if err != nil {
		return err
	}
	return c.recordDone("change user", "user", u.ID.String(), nil,
		"/users/"+u.ID.String(), "Email and username were saved.")
}
