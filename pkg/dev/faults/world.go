package faults

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/dev/cluster"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

const (
	stream = "DELIVERIES"
	// lookWithin bounds one look at the cluster.
	lookWithin = 5 * time.Second
)

// world is a cluster with a webhook, its senders, and the book of what they sent.
type world struct {
	*cluster.Cluster
	db      *sql.DB
	nc      *nats.Conn
	js      jetstream.JetStream
	traffic *traffic
	book    *book
	// memory is that of each service at the start, in bytes.
	memory map[string]int64
	// down are the parts that a fault has ended.
	down map[string]bool
	// followed is the primary that the standby was made from; it is another one after
	// that was restored.
	followed string
	restored bool
	// scaled is how many appliers should run.
	scaled int
}

const definition = `name: Faults
state: active
auth: {api_key: true}
user: {by: username, path: user}
late_users: {max_age: 24h, max_deliveries: 100}
mappings:
  - {currency: coins, operator: add, value: {path: amount}}
`

// openWorld connects to a cluster and makes its users and webhook.
func openWorld(ctx context.Context, c *cluster.Cluster, rate int) (*world, error) {
	w := &world{Cluster: c, followed: c.Primary(), book: newBook(), down: map[string]bool{}}
	if err := w.open(ctx, rate); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) open(ctx context.Context, rate int) (err error) {
	if w.db, err = sql.Open("postgres", w.DatabaseURL()+"&binary_parameters=yes"); err != nil {
		return err
	}
	w.db.SetMaxOpenConns(4)
	w.db.SetMaxIdleConns(0) // after a failover an old connection would be to a standby
	if w.nc, err = nats.Connect(w.NATSURL(), nats.Name("faults"), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond),
		nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2)); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if w.js, err = jetstream.New(w.nc); err != nil {
		return err
	}
	var csv strings.Builder
	csv.WriteString("email,username\n")
	for i := range users {
		fmt.Fprintf(&csv, "%s@example.com,%[1]s\n", userName(i))
	}
	if _, err := w.Coinhook(ctx, csv.String(), "users", "import", "-", "--yes"); err != nil {
		return err
	}
	out, err := w.Coinhook(ctx, definition, "webhooks", "apply", "-f", "-", "-o", "json", "--yes")
	if err != nil {
		return err
	}
	var hook struct {
		ID     string `json:"id"`
		APIKey string `json:"api_key"`
	}
	if err := json.Unmarshal(out, &hook); err != nil {
		return fmt.Errorf("coinhook webhooks apply: %w: %s", err, out)
	}
	w.traffic = &traffic{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
		path:   "/hooks/" + hook.ID, apiKey: hook.APIKey, rate: rate,
	}
	for _, name := range w.Ingresses() {
		w.traffic.ingresses = append(w.traffic.ingresses, w.IngressURL(name))
	}
	return nil
}

func (w *world) close() error {
	if w.nc != nil {
		w.nc.Close()
	}
	if w.traffic != nil {
		w.traffic.client.CloseIdleConnections()
	}
	var err error
	if w.db != nil {
		err = w.db.Close()
	}
	return errors.Join(err, w.Close())
}

// leader is the server that leads the stream of deliveries, and the others.
func (w *world) leader(ctx context.Context) (leader string, followers []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		return "", nil, fmt.Errorf("find the stream's leader: %w", err)
	}
	info := s.CachedInfo().Cluster
	if info == nil || info.Leader == "" {
		return "", nil, errors.New("the stream has no leader")
	}
	for _, name := range w.Servers() {
		if name != info.Leader {
			followers = append(followers, name)
		}
	}
	return info.Leader, followers, nil
}

// streams are all that there are.
var streams = []string{stream, "SAMPLES", "REJECTIONS", "KV_webhooks", "KV_state"}

// replicated reports whether all copies of all streams are up to date. Each
// stream elects a leader of its own, some seconds after the server is gone that
// led it.
func (w *world) replicated(ctx context.Context) error {
	for _, name := range streams {
		if err := w.copied(ctx, name); err != nil {
			return fmt.Errorf("the stream %s: %w", name, err)
		}
	}
	return nil
}

func (w *world) copied(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	s, err := w.js.Stream(ctx, name)
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	if want := len(w.Servers()); info.Config.Replicas != want {
		return &copiesError{has: info.Config.Replicas, want: want}
	}
	if info.Config.Replicas == 1 {
		return nil
	}
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != info.Config.Replicas-1 {
		return errors.New("it has no leader, or too few copies")
	}
	for _, p := range info.Cluster.Replicas {
		if !p.Current || p.Offline {
			return fmt.Errorf("the copy of %s is not up to date", p.Name)
		}
	}
	return nil
}

// copiesError says that somebody has changed the number of copies.
type copiesError struct{ has, want int }

func (e *copiesError) Error() string { return fmt.Sprintf("it has %d copies, want %d", e.has, e.want) }

// idle reports whether the floors of all partitions are at the end of the stream.
func (w *world) idle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	deliveries, err := w.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("the stream: %w", err)
	}
	last := deliveries.CachedInfo().State.LastSeq
	for name := range deliveries.ConsumerNames(ctx).Name() {
		if !strings.HasPrefix(name, "partition-") {
			continue
		}
		c, err := deliveries.Consumer(ctx, name)
		if err != nil {
			return fmt.Errorf("the consumer %s: %w", name, err)
		}
		if floor := c.CachedInfo().AckFloor.Stream; floor < last {
			return fmt.Errorf("%s is settled up to message %d of %d", name, floor, last)
		}
	}
	return nil
}

// settled reports whether all that was answered 202 has succeeded.
func (w *world) settled(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var n int
	err := w.db.QueryRowContext(ctx, `SELECT count(*) FROM outcomes WHERE delivery_id = ANY ($1::uuid[]) AND status = 'success'`, pq.Array(ids)).Scan(&n)
	if err != nil {
		return fmt.Errorf("count the outcomes: %w", err)
	}
	if n < len(ids) {
		return fmt.Errorf("%d of %d that were answered 202 have not succeeded", len(ids)-n, len(ids))
	}
	return w.idle(ctx)
}

// read reads the evidence.
func (w *world) read(ctx context.Context, ids []string) (e evidence, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	e = evidence{outcomes: map[string]outcome{}, balances: map[string]int64{}, users: map[string]string{}}
	err = w.each(ctx, func(scan func(...any) error) error {
		var id string
		var o outcome
		err := scan(&id, &o.status, &o.outcome, &o.reason)
		e.outcomes[id] = o
		return err
	}, `SELECT delivery_id::text, status, coalesce(outcome, ''), coalesce(reason, '') FROM outcomes WHERE delivery_id = ANY ($1::uuid[])`, pq.Array(ids))
	if err != nil {
		return e, err
	}
	if err := w.each(ctx, func(scan func(...any) error) error {
		var l logRow
		err := scan(&l.number, &l.delivery, &l.userID)
		e.logs = append(e.logs, l)
		return err
	}, `SELECT amount, delivery_id::text, user_id::text FROM gamification_logs`); err != nil {
		return e, err
	}
	return e, w.each(ctx, func(scan func(...any) error) error {
		var id, name string
		var amount int64
		err := scan(&id, &name, &amount)
		e.users[id], e.balances[id] = name, amount
		return err
	}, `SELECT u.id::text, u.username, coalesce(b.amount, 0) FROM users u LEFT JOIN balances b ON b.user_id = u.id AND b.currency = 'coins'`)
}

func (w *world) each(ctx context.Context, row func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := w.db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// slowest is the longest time from a delivery's arrival to its outcome.
func (w *world) slowest(ctx context.Context, ids []string) (d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var seconds float64
	err := w.db.QueryRowContext(ctx, `SELECT coalesce(extract(epoch FROM max(finished_at - received_at)), 0)::float8
		FROM outcomes WHERE delivery_id = ANY ($1::uuid[])`, pq.Array(ids)).Scan(&seconds)
	if err != nil {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// audit runs `coinhook audit`. The kinds of its findings are in a failed one.
func (w *world) audit(ctx context.Context, flags ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	out, err := w.Coinhook(ctx, "", append([]string{"audit", "-o", "json", "--yes"}, flags...)...)
	if err == nil {
		return nil
	}
	var report struct {
		Violations []struct{ Kind, Detail string }
	}
	if json.Unmarshal(out, &report) != nil || len(report.Violations) == 0 {
		return err
	}
	kinds := map[string]int{}
	for _, v := range report.Violations {
		kinds[v.Kind]++
	}
	return &auditError{kinds: kinds, first: report.Violations[0].Detail}
}

// auditError is what an audit has found.
type auditError struct {
	kinds map[string]int
	first string
}

func (e *auditError) Error() string { return fmt.Sprintf("audit: %v, such as: %s", e.kinds, e.first) }

// rss is the memory of each service that runs, in bytes.
func (w *world) rss() map[string]int64 {
	sizes := map[string]int64{}
	for _, name := range append(w.Ingresses(), w.Appliers()...) {
		pid := w.PID(name)
		if pid == 0 {
			continue
		}
		if size, err := process.Memory(pid, "status", "VmRSS"); err == nil {
			sizes[name] = size
		}
	}
	return sizes
}
