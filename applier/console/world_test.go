package console_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/admin/revert"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/console"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// password is that of all accounts.
const password = "correct horse battery"

// passwordHash is one of password that is cheap to check: nearly each test signs somebody in.
const passwordHash = "$argon2id$v=19$m=8,t=1,p=1$YSBzYWx0IGZvciB0ZXN0cw$MlFQP5pWrc/k0mn24kiaChL9CmQ2yl/EQKiVVUIY4R8"

// world is a broker, a database and a console, with somebody signed in. Deliveries
// are settled once settle is called.
type world struct {
	*appliertest.World
	t         *testing.T
	url       string // of the console
	console   *console.Console
	accounts  *access.Accounts
	trail     *access.Trail
	webhooks  *webhooks.Service
	publisher *broker.Publisher
	clock     *clock // what accounts and sessions go by

	stop  func() // the console
	admin *browser
}

// clock is the time, which tests may put forward.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().UTC().Add(c.ahead)
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

type option func(*console.Options)

func publicURL(address string) option {
	return func(o *console.Options) { o.URL, _ = url.Parse(address) }
}

func newWorld(t *testing.T, options ...option) *world {
	t.Helper()
	return newWorldWith(t, time.Hour, options...)
}

// newWorldWith makes a world whose deliveries are overdue after the limit.
func newWorldWith(t *testing.T, limit time.Duration, options ...option) *world {
	t.Helper()
	return makeWorld(t, limit, secret.MasterKey{}, options...)
}

// newSealingWorld has a master key: webhooks can have AES keys.
func newSealingWorld(t *testing.T) *world {
	t.Helper()
	master, err := secret.ParseMasterKey(strings.Repeat("m", 42) + "A")
	if err != nil {
		t.Fatal(err)
	}
	return makeWorld(t, time.Hour, master)
}

func makeWorld(t *testing.T, limit time.Duration, master secret.MasterKey, options ...option) *world {
	t.Helper()
	w := &world{t: t, World: appliertest.New(t, appliertest.Options{Store: postgres.Options{MaxConns: 8}}), clock: &clock{}}
	own, _ := postgrestest.OpenURL(t, postgrestest.As(t, w.URL, "coinhook_console"), postgres.Options{MaxConns: 8})
	stream, err := w.Conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	definitions := broker.NewDefinitions(w.Conn)
	w.accounts, w.trail = access.NewAccounts(w.Store, w.clock.now), access.NewTrail(own, w.clock.now)
	w.webhooks = webhooks.New(definitions, own.Reread, func() time.Time { return time.Now().UTC() }, master)
	w.publisher = appliertest.Publisher(t, w.Conn)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String()
	opts := console.Options{
		URL: &url.URL{Scheme: "http", Host: listener.Addr().String()}, Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel),
		Accounts: access.NewAccounts(own, w.clock.now), Tokens: access.NewTokens(own, w.clock.now), Trail: w.trail, Webhooks: w.webhooks, Users: users.New(own), Payloads: sealed.NewPayloads(master),
		Logs: history.NewLogs(own), Settings: communities.New(own),
		DeadLetters: deadletter.New(own), Reverter: revert.New(own), Publisher: w.publisher,
		Replayer: replay.New(own, broker.NewCatalog(w.Conn), sealed.NewPayloads(master).Evaluate, w.publisher),
		History:  history.New(own, stream, definitions, limit),
		Preview:  trial.NewPreview(own), HookURL: func(id string) string { return "https://hooks.example.com/hooks/" + id },
		Backtest: trial.NewBacktest(own, stream, broker.NewCatalog(w.Conn), sealed.NewPayloads(master).Evaluate),
	}
	opts.Catcher, opts.Rejections = w.catcher(stream), w.Conn
	for _, o := range options {
		o(&opts)
	}
	if w.console, err = console.New(opts); err != nil {
		t.Fatal(err)
	}
	w.stop = appliertest.Running(t, func(ctx context.Context) error { return w.console.Run(ctx, listener) })
	w.admin = w.signedIn("anna", admin.Owner)
	return w
}

func (w *world) catcher(stream *broker.Stream) *sample.Catcher {
	w.t.Helper()
	samples, err := w.Conn.OpenSamples(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return sample.NewCatcher(samples, stream, func(_ context.Context, _ broker.Saved, d delivery.Delivery) ([]byte, error) { return d.Body, nil })
}

// settle runs an applier from now on.
func (w *world) settle() {
	w.t.Helper()
	w.Consume(w.Applier(w.Catalog()).Handle)
}

// webhook saves an active webhook that adds coins to the user at "user" by the
// amount at "coins".
func (w *world) webhook(name string) broker.Saved {
	w.t.Helper()
	return w.webhookOf(fmt.Sprintf(`{name: %q, state: active, user: {by: email, path: user},
mappings: [{currency: coins, operator: add, value: {path: coins}}]}`, name))
}

// webhookOf saves a webhook from its definition.
func (w *world) webhookOf(definition string) broker.Saved {
	w.t.Helper()
	saved, err := w.webhooks.Apply(w.t.Context(), appliertest.Parse(w.t, definition))
	if err != nil {
		w.t.Fatal(err)
	}
	return saved.Saved
}

func (w *world) user(email string) delivery.ID {
	w.t.Helper()
	id, err := w.Store.AddUser(w.t.Context(), "default", postgres.NewUser{Email: email})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// send publishes a delivery, as an ingress does.
func (w *world) send(hook broker.Saved, body string) delivery.ID {
	w.t.Helper()
	d := appliertest.Delivery(hook, []byte(body))
	appliertest.Publish(w.t, w.publisher, d)
	return d.ID
}

// settled sends a delivery and waits until it is settled.
func (w *world) settled(hook broker.Saved, body string) delivery.ID {
	w.t.Helper()
	return w.settledRequest(hook, "", body)
}

// settledRequest is settled of a request that has a query, too.
func (w *world) settledRequest(hook broker.Saved, query, body string) delivery.ID {
	w.t.Helper()
	d := appliertest.Delivery(hook, []byte(body))
	d.Query = query
	appliertest.Publish(w.t, w.publisher, d)
	appliertest.Eventually(w.t, "the delivery is settled", func() bool {
		fates, err := w.Store.Fates(w.t.Context(), []delivery.ID{d.ID})
		return err == nil && len(fates) == 1
	})
	return d.ID
}

// browser is one, with its cookies. It does not follow redirects.
type browser struct {
	w      *world
	client *http.Client
}

// address is the console's, as cookies have it.
func (w *world) address() *url.URL {
	u, err := url.Parse(w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w: w, client: &http.Client{
		Jar: jar, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signedIn makes an account and signs it in.
func (w *world) signedIn(name string, right admin.Right) *browser {
	w.t.Helper()
	account := admin.Account{Name: name, PasswordHash: passwordHash, Grants: admin.Grants{admin.Everywhere: right}, CreatedAt: w.clock.now()}
	if err := w.Store.AddAccount(w.t.Context(), account); err != nil {
		w.t.Fatal(err)
	}
	b := w.browser()
	if p := b.post("/sign-in", url.Values{"name": {name}, "password": {password}}); p.status != http.StatusSeeOther {
		w.t.Fatalf("sign in: %d %s", p.status, p.Text())
	}
	return b
}

// page is an answer. Its text is empty for what is no HTML.
type page struct {
	*goquery.Document
	status int
	header http.Header
	body   string
}

// text is that of an element, with single spaces.
func (p *page) text(selector string) string {
	return strings.Join(strings.Fields(p.Find(selector).Text()), " ")
}

// get reads a page; headers are pairs.
func (b *browser) get(path string, headers ...string) *page {
	b.w.t.Helper()
	return b.do(http.MethodGet, path, nil, headers...)
}

// post sends a form as the console's own pages do.
func (b *browser) post(path string, form url.Values, headers ...string) *page {
	b.w.t.Helper()
	return b.do(http.MethodPost, path, form, append([]string{"Sec-Fetch-Site", "same-origin"}, headers...)...)
}

func (b *browser) do(method, path string, form url.Values, headers ...string) *page {
	t := b.w.t
	t.Helper()
	if form != nil {
		headers = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)
	}
	return b.send(method, path, strings.NewReader(form.Encode()), headers...)
}

func (b *browser) send(method, path string, body io.Reader, headers ...string) *page {
	t := b.w.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.w.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	document, err := goquery.NewDocumentFromReader(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return &page{document, resp.StatusCode, resp.Header, string(text)}
}
