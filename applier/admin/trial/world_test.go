package trial_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// world is a webhook with what it was sent.
type world struct {
	*appliertest.World
	t       *testing.T
	stream  *stream
	catalog *broker.Catalog
	saved   broker.Saved
}

// stream is a real one that may have let go of its beginning.
type stream struct {
	*broker.Stream
	first uint64
}

func (s *stream) Extent(ctx context.Context) (broker.Extent, error) {
	e, err := s.Stream.Extent(ctx)
	e.First = max(e.First, s.first)
	return e, err
}

// newWorld has two users with 10 coins each: ann and bob.
func newWorld(t *testing.T, definition string) *world {
	t.Helper()
	w := &world{t: t, World: appliertest.New(t, appliertest.Options{Store: postgres.Options{Settling: true}})}
	w.catalog = broker.NewCatalog(w.Conn)
	opened, err := w.Conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.stream = &stream{Stream: opened}
	w.AddUsers("default", "ann@example.com", "bob@example.com")
	if _, err := w.Store.AddUser(t.Context(), "default", postgres.NewUser{Username: "Codertocat"}); err != nil {
		t.Fatal(err)
	}
	w.saved = w.Save(definition)
	return w
}

// update saves the webhook's next version.
func (w *world) update(definition string) {
	w.t.Helper()
	w.saved.Definition = appliertest.Parse(w.t, definition)
	w.saved = w.Update(w.saved)
}

// delivery is one that the webhook is sent.
func (w *world) delivery(body string) delivery.Delivery {
	return appliertest.Delivery(w.saved, []byte(body))
}

// send stores deliveries as the ingress does.
func (w *world) send(all ...delivery.Delivery) {
	w.t.Helper()
	p := broker.NewPublisher(w.Conn, broker.PublisherOptions{Log: zerolog.Nop()})
	defer appliertest.Running(w.t, p.Run)()
	appliertest.Publish(w.t, p, all...)
}

// sendBodies stores a delivery for each body.
func (w *world) sendBodies(bodies ...string) (ids []delivery.ID) {
	w.t.Helper()
	var all []delivery.Delivery
	for _, body := range bodies {
		all = append(all, w.delivery(body))
		ids = append(ids, all[len(all)-1].ID)
	}
	w.send(all...)
	return ids
}

// settle executes all that the stream holds.
func (w *world) settle() {
	w.t.Helper()
	app := w.Applier(w.catalog)
	extent, err := w.stream.Extent(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for seq := max(extent.First, 1); seq <= extent.Last; seq++ {
		batch, err := w.stream.Deliveries(w.t.Context(), seq)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, v := range app.Handle(w.t.Context(), batch) {
			if !v.IsSettled() {
				w.t.Fatal(v.Err)
			}
		}
	}
}

func (w *world) evaluate() applier.Evaluate { return sealed.NewPayloads(secret.MasterKey{}).Evaluate }

// try runs a backtest and checks that it adds up.
func (w *world) try(definition string, change ...func(*trial.Request)) *trial.Comparison {
	w.t.Helper()
	r := trial.Request{Webhook: w.saved, Definition: appliertest.Parse(w.t, definition), Last: 1000}
	for _, f := range change {
		f(&r)
	}
	b := trial.NewBacktest(w.Store, w.stream, w.catalog, w.evaluate())
	got, err := b.Run(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	sum := got.Unchanged + got.DifferentCount + got.NewlySucceedingCount + got.DependsOnBalance + got.StillFailing
	for _, f := range got.NewlyFailing {
		sum += f.Count
	}
	for _, u := range got.Undecided {
		sum += u.Count
	}
	if sum != got.Deliveries {
		w.t.Errorf("%d deliveries are counted as %d: %+v", got.Deliveries, sum, got)
	}
	return got
}

func last(n int) func(*trial.Request) { return func(r *trial.Request) { r.Last = n } }

// summary is a result in a line for each thing it says.
func summary(r *trial.Comparison) []string {
	lines := []string{fmt.Sprintf("%d unchanged, %d depend on the balance, %d still failing", r.Unchanged, r.DependsOnBalance, r.StillFailing)}
	for _, c := range r.Different {
		lines = append(lines, "different: "+text(c.Before)+" -> "+text(c.After))
	}
	for _, f := range r.NewlyFailing {
		lines = append(lines, fmt.Sprintf("newly failing: %s at %s, %d", f.Reason, f.Path, f.Count))
	}
	for _, c := range r.NewlySucceeding {
		lines = append(lines, "newly succeeding: "+text(c.Before)+" -> "+text(c.After))
	}
	for _, u := range r.Undecided {
		lines = append(lines, fmt.Sprintf("undecided: %s, %d", u.Why, u.Count))
	}
	return lines
}

func text(e trial.Effect) string {
	var parts []string
	if e.User != nil {
		parts = append(parts, e.User.Email+e.User.Username)
	}
	for _, c := range e.Changes {
		parts = append(parts, fmt.Sprintf("%s %s %s", c.Operator, c.Amount, c.Currency))
	}
	for _, f := range e.Fields {
		parts = append(parts, f.Field+"="+f.Value)
	}
	switch {
	case e.Reason != nil:
		parts = append(parts, string(*e.Reason))
	case e.Outcome != nil:
		parts = append(parts, string(*e.Outcome))
	}
	return strings.Join(parts, " ")
}

func (w *world) check(got *trial.Comparison, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, summary(got)); diff != "" {
		w.t.Error(diff)
	}
}

const shop = `
name: Shop
state: active
user: {by: email, path: email}
mappings:
  - {currency: coins, operator: add, value: {path: coins}}
`
