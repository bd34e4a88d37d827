package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

//go:embed templates
var templateFiles embed.FS

// templates are the pages by name, each with the layout and the parts.
type templates map[string]*template.Template

func parseTemplates() (templates, error) {
	shared, err := template.New("").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/*-parts.html")
	if err != nil {
		return nil, fmt.Errorf("parse the templates: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	all := templates{}
	for _, file := range names {
		if file == "templates/layout.html" || strings.HasSuffix(file, "parts.html") {
			continue
		}
		page, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if page, err = page.ParseFS(templateFiles, file); err != nil {
			return nil, fmt.Errorf("parse the templates: %w", err)
		}
		all[strings.TrimSuffix(path.Base(file), ".html")] = page
	}
	return all, nil
}

// navigation is the order of the pages. Their places are: Overview, Webhooks,
// Histories, Dead letters, Gamification logs, Users, Settings, Accounts, Audit trail.
var navigation = []struct {
	link
	owners bool // for owners only
}{
	{link: link{Path: "/", Title: "Overview", Key: "o"}},
	{link: link{Path: "/webhooks", Title: "Webhooks", Opens: "Deliveries", Key: "w"}},
	{link: link{Path: "/deliveries", Title: "Histories", Key: "h"}},
	{link: link{Path: "/dead-letters", Title: "Dead letters", Key: "d"}},
	{link: link{Path: "/logs", Title: "Gamification logs", Opens: "Balances", Key: "l"}},
	{link: link{Path: "/users", Title: "Users", Key: "u"}},
	{link: link{Path: "/settings", Title: "Settings", Opens: "Administration", Key: "s"}},
	{link: link{Path: "/accounts", Title: "Accounts", Key: "a"}, owners: true},
	{link: link{Path: "/trail", Title: "Audit trail", Key: "t"}, owners: true},
}

// link is a page in the navigation. Opens is the heading above it and those that follow; g
// and the letter Key open it.
type link struct {
	Path, Title, Opens, Key string
	Current                 bool
}

// view is what a page's template gets.
type view struct {
	Title   string
	Account string
	// MayChange says that the account is an editor of what the page is about, MayManage
	// that it is an admin, IsOwner that it is an owner.
	MayChange, MayManage, IsOwner bool
	Links                         []link
	Switch                        communitySwitch
	Flash                         string
	// Zone is that of the person's times, as filters mean it.
	Zone string
	// Here is the page's own address.
	Here string
	// Open is the delivery that is shown next to the list, empty for none.
	Open string
	// Live is where the page listens for news, empty if it does not.
	Live string
	Data any
}

// page answers with a page: all of it, or what belongs between <main> and </main>.
func (c *request) page(name, title string, data any) error {
	return c.render(http.StatusOK, name, view{Title: title, Data: data})
}

func (c *request) pageWith(status int, name, title string, data any) error {
	return c.render(status, name, view{Title: title, Data: data})
}

// livePage is a page that updates itself. Look at seen before reading the data:
//
//	seen := c.seen()
//	…
//	return c.livePage("histories", "Histories", seen, data)
func (c *request) livePage(name, title string, seen seen, data any) error {
	return c.render(http.StatusOK, name, view{Title: title, Live: seen.url(), Data: data})
}

func (c *request) render(status int, name string, v view) error {
	page, ok := c.console.templates[name]
	if !ok {
		return fmt.Errorf("there is no template %s", name)
	}
	v.Account, v.Zone, v.Here = c.session.Account, c.zone().String(), c.Request().URL.RequestURI()
	v.MayChange, v.MayManage, v.IsOwner = c.mayHere(admin.Editor), c.mayHere(admin.AdminOf), c.session.Grants.IsOwner()
	block := "content"
	if beside := name == "error" && isHTMX(c.Request()); !beside && !isPartial(c.Request()) {
		if id, err := delivery.ParseID(c.QueryParam("open")); err == nil {
			v.Open = id.String()
		}
		block, v.Links, v.Switch, v.Flash = "layout", c.links(), c.communitySwitch(status), c.flash()
	}
	var out bytes.Buffer // so that an error leaves no half a page
	if err := page.ExecuteTemplate(&out, block, v); err != nil {
		return fmt.Errorf("write the page %s: %w", name, err)
	}
	c.Response().Header().Add("Vary", "HX-Request, HX-Request-Type")
	return c.HTMLBlob(status, out.Bytes())
}

func (c *request) links() []link {
	if c.session.Account == "" {
		return nil
	}
	var links []link
	for _, n := range navigation {
		if n.owners && !c.session.Grants.IsOwner() {
			continue
		}
		here := c.Request().URL.Path
		current := here == n.Path || n.Path != "/" && strings.HasPrefix(here, n.Path+"/")
		links = append(links, link{inCommunity(n.Path, c.QueryParam("community")), n.Title, n.Opens, n.Key, current})
	}
	return links
}

// functions are those that templates have.
var functions = template.FuncMap{
	"asset":    assetURL,
	"rfc3339":  func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"exact":    exactText,
	"relative": func(t time.Time) string { return relativeText(t, time.Now()) },
	"duration": durationText,
	"seconds":  func(d time.Duration) string { return fmt.Sprintf("%.4g", d.Seconds()) },
	"amount":   amountText,
	"change":   changeText,
	"tone":     changeTone,
	"number":   numberText,
	"count":    countText,
	"reason":   reasonText,
	"reasons":  delivery.Reasons,
	"foreign":  foreign,
	"visible":  visible,
	"sentence": sentence,
	"letters":  countedLetters,
	"currency": currencyName,
	"query":    url.QueryEscape,

	"initial":     initial,
	"fingerprint": webhook.Fingerprint,
	"join":        strings.Join,
	"difflines":   diffLines,
	"inc":         func(i int) int { return i + 1 },
	// dict makes an argument of several, for templates that take more than one.
	"dict": func(pairs ...any) (map[string]any, error) {
		if len(pairs)%2 != 0 {
			return nil, fmt.Errorf("dict: %d arguments, want pairs", len(pairs))
		}
		d := make(map[string]any, len(pairs)/2)
		for i := 0; i < len(pairs); i += 2 {
			d[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		return d, nil
	},
}
