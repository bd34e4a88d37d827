package peer

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/dev/stack/port"
	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

const key = "secret"

// world is a peer on servers of its own. Both of its processes run in this one.
type world struct {
	db     *sql.DB
	js     jetstream.JetStream
	stream jetstream.Stream
	url    string
}

func start(t *testing.T) *world {
	t.Helper()
	if _, err := postgres.Find(); errors.Is(err, postgres.ErrNotFound) {
		t.Skip(err)
	}
	server, err := postgres.Start(t.Context(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop(context.Background()) }) // it is thrown away
	p, err := port.Free("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	c := Config{
		NATSURL: brokertest.Start(t).URL(), DatabaseURL: server.URL("postgres") + "&binary_parameters=yes",
		Addr: fmt.Sprintf("127.0.0.1:%d", p), APIKey: key, Community: "bench", WebhookID: "wh_1",
	}
	w := &world{url: "http://" + c.Addr + "/hooks/wh_1"}
	if w.db, err = sql.Open("postgres", c.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() }) // it is thrown away
	tables, err := os.ReadFile("testdata/tables.sql")
	if err != nil {
		t.Fatal(err)
	}
	w.mustExec(t, string(tables))
	w.mustExec(t, `INSERT INTO users (community, username_key) SELECT 'bench', 'player-' || n FROM generate_series(0, 9) n`)
	nc, js, err := connect(c, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	w.js = js
	if w.stream, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: Stream, Subjects: []string{Subject}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return Serve(ctx, c) })
	running.Go(func() error { return Consume(ctx, c) })
	t.Cleanup(func() {
		cancel()
		if err := running.Wait(); err != nil {
			t.Errorf("the peer ended with %v", err)
		}
	})
	w.eventually(t, func(ctx context.Context) error {
		resp, err := http.Get(w.url)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	return w
}

func (w *world) mustExec(t *testing.T, query string) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func (w *world) eventually(t *testing.T, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := process.Await(ctx, condition); err != nil {
		t.Fatal(err)
	}
}

// number waits until the query, which gives one number, gives the wanted one.
func (w *world) number(t *testing.T, want int64, query string) {
	t.Helper()
	w.eventually(t, func(ctx context.Context) error {
		var got int64
		if err := w.db.QueryRowContext(ctx, query).Scan(&got); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s = %d, want %d", query, got, want)
		}
		return nil
	})
}

func post(url, key string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("x-api-key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() // it is read whole
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func body(login string, points int) []byte {
	return fmt.Appendf(nil, `{"type":"order.paid","customer":{"login":%q},"order":{"points":%d}}`, login, points)
}

func TestEachRequestTakesEffectOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	const requests, senders = 2000, 64
	var g errgroup.Group
	g.SetLimit(senders)
	for i := range requests {
		g.Go(func() error {
			status, answer, err := post(w.url, key, body(fmt.Sprintf("player-%d", i%10), 1+i%3))
			if err == nil && (status != http.StatusAccepted || !bytes.HasPrefix(answer, []byte(`{"id":"`))) {
				err = fmt.Errorf("the answer is %d %s", status, answer)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	w.number(t, requests, `SELECT count(*) FROM outcomes`)
	w.number(t, requests, `SELECT count(*) FROM gamification_logs`)
	w.number(t, 3999, `SELECT sum(amount) FROM balances`)
	info, err := w.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs*4 > requests {
		t.Errorf("%d messages for %d requests: they are not bundled", info.State.Msgs, requests)
	}

	// All bundles are delivered once more, as after a crash before the acks.
	for sequence := uint64(1); sequence <= info.State.LastSeq; sequence++ {
		m, err := w.stream.GetMsg(t.Context(), sequence)
		if err == nil {
			_, err = w.js.Publish(t.Context(), Subject, m.Data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := post(w.url, key, body("player-0", 1)); err != nil {
		t.Fatal(err)
	}
	w.number(t, requests+1, `SELECT count(*) FROM outcomes`) // the last one is behind them
	w.number(t, requests+1, `SELECT count(*) FROM gamification_logs`)
	w.number(t, 4000, `SELECT sum(amount) FROM balances`)
}

func TestEachLogHasTheBalanceAfterIt(t *testing.T) {
	t.Parallel()
	w := start(t)
	bundle := []byte(`[`)
	for i := range 20 {
		bundle = fmt.Appendf(bundle, `{"id":"00000000-0000-7000-8000-0000000000%02d","us":1767225600000000,"body":%s},`, i, body(fmt.Sprintf("player-%d", i%2), i))
	}
	bundle[len(bundle)-1] = ']'
	if _, err := w.js.Publish(t.Context(), Subject, bundle); err != nil {
		t.Fatal(err)
	}
	w.number(t, 20, `SELECT count(*) FROM gamification_logs`)
	w.number(t, 0, `SELECT count(*) FROM (
		SELECT balance - sum(amount) OVER account AS wrong, number - count(*) OVER account AS misplaced
		FROM gamification_logs WINDOW account AS (PARTITION BY user_id ORDER BY delivery_id)) l WHERE wrong <> 0 OR misplaced <> 0`)
}

func TestAnUnknownUserFails(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, login := range []string{"nobody", "player-1"} {
		if _, _, err := post(w.url, key, body(login, 1)); err != nil {
			t.Fatal(err)
		}
	}
	w.number(t, 2, `SELECT count(*) FROM outcomes`)
	w.number(t, 1, `SELECT count(*) FROM outcomes WHERE reason = 'user_not_found'`)
	w.number(t, 1, `SELECT count(*) FROM gamification_logs`)
}

func TestTheServerRefuses(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, test := range []struct {
		name, key, body string
		want            int
	}{
		{"a wrong key", "wrong", `{}`, http.StatusUnauthorized},
		{"no key", "", `{}`, http.StatusUnauthorized},
		{"no JSON", key, `{}]`, http.StatusBadRequest},
		{"too much", key, `"` + string(bytes.Repeat([]byte("x"), maxBody)) + `"`, http.StatusRequestEntityTooLarge},
	} {
		if status, _, err := post(w.url, test.key, []byte(test.body)); err != nil || status != test.want {
			t.Errorf("%s is answered with %d (%v), want %d", test.name, status, err, test.want)
		}
	}
	info, err := w.stream.Info(t.Context())
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("the stream has %d messages (%v), want none", info.State.Msgs, err)
	}
}
