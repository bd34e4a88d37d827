package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/api"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/proxies"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// world is the API on a broker and a database of its own, with two communities
// that have a webhook, two users and a token each.
type world struct {
	*appliertest.World
	t         *testing.T
	history   *history.History
	tokens    *access.Tokens
	webhooks  *webhooks.Service
	publisher *broker.Publisher
	handler   http.Handler
	clock     *atomic.Int64 // nanoseconds
	shops     map[string]*webhook.Webhook
	bearer    map[string]string // by community
}

const mine, theirs = "default", "other"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, World: appliertest.New(t, appliertest.Options{Role: broker.Console}),
		clock: &atomic.Int64{}, shops: map[string]*webhook.Webhook{}, bearer: map[string]string{},
	}
	stream, err := w.Conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Store(time.Now().UnixNano())
	w.publisher = appliertest.Publisher(t, w.Conn)
	w.tokens = access.NewTokens(w.Store, w.now)
	definitions := broker.NewDefinitions(w.Conn)
	service := webhooks.New(definitions, w.Store.Reread, w.now, secret.MasterKey{})
	w.webhooks = service
	w.history = history.New(w.Store, stream, definitions, time.Hour)
	w.handler = api.New(api.Options{
		Tokens: w.tokens, Trail: access.NewTrail(w.Store, w.now), Deliveries: w.history, Logs: history.NewLogs(w.Store),
		Users: users.New(w.Store), Webhooks: service, Now: w.now, Log: zerolog.Nop(), Address: proxies.Trusted{}.Extractor(), PerSecond: 10_000, Burst: 10_000,
	})
	for _, community := range []string{mine, theirs} {
		saved, err := service.Apply(t.Context(), webhook.Definition{
			Name: "Shop", Community: community, State: webhook.Active, User: &webhook.UserRef{By: webhook.ByEmail, Path: "email"},
			Mappings: []webhook.Mapping{{Currency: "coins", Operator: webhook.Add, Value: webhook.Value{Path: "coins"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.shops[community] = &webhook.Webhook{Record: saved.Record, Revision: saved.Revision}
		if _, err := w.Store.AddUser(t.Context(), community, postgres.NewUser{Email: "Alice@example.com", Username: "alice"}); err != nil {
			t.Fatal(err)
		}
		w.AddUsers(community, "bob@example.com")
		if w.bearer[community], _, err = w.tokens.Add(t.Context(), community, "test", 0, "anna"); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) now() time.Time { return time.Unix(0, w.clock.Load()).UTC() }

func (w *world) delivery(community string) *delivery.Delivery {
	return &delivery.Delivery{
		ID: delivery.NewID(), WebhookID: w.shops[community].ID, ReceivedAt: time.Now().UTC().Truncate(time.Microsecond),
		Body: []byte(`{"password":"hunter2"}`), Attempt: 1,
	}
}

// pending publishes a delivery that nobody settles.
func (w *world) pending(community string) delivery.ID {
	w.t.Helper()
	d := w.delivery(community)
	appliertest.Publish(w.t, w.publisher, *d)
	return d.ID
}

func change(op webhook.Operator, currency string, amount int64) applier.Change {
	return applier.Change{Currency: currency, Operator: op, Amount: amount}
}

// settled settles a delivery as if it had been on a day, in UTC.
func (w *world) settled(community, email string, day time.Time, changes ...applier.Change) delivery.ID {
	w.t.Helper()
	item := applier.Item{
		Delivery: w.delivery(community), Webhook: w.shops[community],
		Plan: applier.Plan{User: applier.UserRef{By: webhook.ByEmail, Value: email}, Changes: changes},
	}
	settlements, err := w.Store.Settle(w.t.Context(), []applier.Item{item})
	if err != nil || (settlements[0].Status == delivery.Success) == (email == "nobody@example.com") {
		w.t.Fatalf("settled as %+v, %v", settlements, err)
	}
	if !day.IsZero() {
		w.Exec(`UPDATE gamification_logs SET at = $2 WHERE delivery_id = $1`, item.Delivery.ID.String(), day)
	}
	return item.Delivery.ID
}

// reply is an answer, which is as the OpenAPI document says.
type reply struct {
	status int
	header http.Header
	body   []byte

	Status  string
	Message string
	Code    string
	Data    json.RawMessage
}

func (r reply) into(t *testing.T, v any) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("answered %d %s", r.status, r.body)
	}
	if err := json.Unmarshal(r.Data, v); err != nil {
		t.Fatalf("%v in %s", err, r.Data)
	}
}

func (w *world) request(method, target, body string) *http.Request {
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+w.bearer[mine])
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (w *world) send(r *http.Request) reply {
	w.t.Helper()
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	result := recorder.Result()
	body, err := io.ReadAll(result.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	got := reply{status: result.StatusCode, header: result.Header, body: body}
	if err := json.Unmarshal(body, &got); err != nil {
		w.t.Fatalf("%s %s answers %d %q: %v", r.Method, r.URL, got.status, body, err)
	}
	if got.header.Get("Content-Type") != "application/json" || got.header.Get("X-Content-Type-Options") != "nosniff" {
		w.t.Errorf("%s %s has the headers %v", r.Method, r.URL, got.header)
	}
	described(w.t).check(w.t, r, got)
	return got
}

func (w *world) get(target string) reply {
	w.t.Helper()
	return w.send(w.request(http.MethodGet, target, ""))
}

func (w *world) post(target, body string) reply {
	w.t.Helper()
	return w.send(w.request(http.MethodPost, target, body))
}

type list[T any] struct {
	Results []T
	Next    *string
}

// pages reads a list to its end, and so much at a time.
func pages[T any](w *world, target string) (all []T) {
	w.t.Helper()
	cursor := ""
	for range 100 {
		var l list[T]
		w.get(target+cursor).into(w.t, &l)
		all = append(all, l.Results...)
		if l.Next == nil {
			return all
		}
		cursor = "&cursor=" + *l.Next
	}
	w.t.Fatalf("%s does not end", target)
	return nil
}

// object compares JSON whatever the order of its keys.
func object(t *testing.T, text []byte) (v map[string]any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}
