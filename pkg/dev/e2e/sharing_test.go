package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
)

// metric returns the sum of a metric's series, as a service shows it.
func (s *stack) metric(ctx context.Context, part, name string) (sum float64, err error) {
	return metricAt(ctx, s.OpsURL(part), name)
}

// metricAt is metric of the service that shows its metrics at an address.
func metricAt(ctx context.Context, opsURL, name string) (sum float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, opsURL+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		n, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, lines.Err()
}

func TestAppliersShareTheWork(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	total := 0.0
	eventually(t, func(ctx context.Context) error {
		l := newLoad(t, s, 500, 20)
		l.run(t, 0, nil)
		l.check(t)
		total += 500
		sum := 0.0
		var idle error
		for _, name := range s.appliers() {
			n, err := s.metric(ctx, name, "coinhook_applier_settled_deliveries_total")
			if err != nil {
				return err
			}
			if sum += n; n == 0 {
				idle = fmt.Errorf("%s settled none of %v deliveries", name, total)
			}
		}
		if sum != total {
			t.Errorf("the appliers settled %v of %v deliveries", sum, total)
		}
		return idle
	})
}

// The amount that a version adds is the version itself.
func TestADefinitionThatChangesWhileDeliveriesFlow(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	yaml := func(version int) string {
		return w.yaml("shop", "active", userLine+fmt.Sprintf("mappings:\n  - {currency: coins, operator: add, value: {constant: \"%d\"}}\n", version))
	}
	h := &hook{world: w}
	h.apply(t, yaml(1))
	h.awaitKnown(t)

	const versions, atLeast = 12, 300
	var sending sync.WaitGroup
	changed := make(chan struct{})
	ids := make([][]string, 8)
	for i := range ids {
		sending.Go(func() {
			for {
				select {
				case <-changed:
					if len(ids[i]) >= atLeast/len(ids) {
						return
					}
				default:
				}
				got := h.post(t, coinsBody("ann", "0"))
				var r receipt
				if err := json.Unmarshal([]byte(got.body), &r); err != nil || got.status != http.StatusAccepted {
					t.Errorf("answer = %d %s: a change of the definition is no reason", got.status, got.body)
					return
				}
				ids[i] = append(ids[i], r.ID)
			}
		})
	}
	for version := 2; version <= versions; version++ {
		var saved webhookJSON
		w.queryWith(t, yaml(version), &saved, "webhooks", "apply", "-f", "-")
		if saved.Version != version || saved.ID != h.ID {
			t.Errorf("saved as %+v, want version %d of the same webhook", saved, version)
		}
	}
	close(changed)
	sending.Wait()

	authenticated := w.authenticatedBy(t, h.ID)
	seen, sum := map[int]int{}, 0
	var all []string
	for _, some := range ids {
		all = append(all, some...)
	}
	w.awaitRows(t, all...)
	versionOf := w.versions(t, h.ID)
	for _, id := range all {
		version := versionOf[id].decided
		if version < authenticated[id] || authenticated[id] == 0 {
			t.Errorf("%s was authenticated by version %d and decided by %d", id, authenticated[id], version)
		}
		if versionOf[id].amount != version {
			t.Errorf("version %d of %s added %d", version, id, versionOf[id].amount)
		}
		seen[version]++
		sum += version
	}
	if len(versionOf) != len(all) {
		t.Errorf("%d outcomes of %d deliveries", len(versionOf), len(all))
	}
	if len(seen) < 3 {
		t.Errorf("%v deliveries by version: the changes came too early or too late to say anything", seen)
	}
	if d := w.show(t, all[len(all)-1]); d.Version != versionOf[d.ID].decided || d.Version == 0 {
		t.Errorf("show names version %d, want %d", d.Version, versionOf[d.ID].decided)
	}
	w.wantBalances(t, "ann", strconv.Itoa(sum), "0")
}

type decision struct{ decided, amount int }

func (w *world) versions(t *testing.T, webhookID string) map[string]decision {
	t.Helper()
	rows, err := w.db.QueryContext(withDeadline(t), `
SELECT o.delivery_id, o.version, g.amount FROM outcomes o JOIN gamification_logs g USING (delivery_id) WHERE o.webhook_id = $1`, webhookID)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]decision{}
	for rows.Next() {
		var id string
		var d decision
		if err := rows.Scan(&id, &d.decided, &d.amount); err != nil {
			t.Fatal(err)
		}
		all[id] = d
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// authenticatedBy reads from the stream which version of a webhook let each
// delivery in: a message names the revision of the bucket.
func (s *stack) authenticatedBy(t *testing.T, webhookID string) map[string]int {
	t.Helper()
	versions := s.revisions(t, webhookID)
	conn, err := broker.Connect(broker.Options{URL: s.Env()["NATS_URL"], Name: "e2e", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WaitConnected(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	stream, err := conn.OpenStream(withDeadline(t))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for seq := uint64(1); ; seq++ {
		message, err := stream.Deliveries(withDeadline(t), seq)
		if err != nil {
			t.Fatal(err)
		}
		if len(message) == 0 {
			return all
		}
		for _, d := range message {
			all[d.ID.String()] = versions[d.Revision]
		}
	}
}

func (s *stack) revisions(t *testing.T, webhookID string) map[uint64]int {
	t.Helper()
	conn, err := nats.Connect(s.Env()["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.KeyValue(withDeadline(t), "webhooks")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := bucket.History(withDeadline(t), "webhook."+webhookID)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[uint64]int{}
	for _, entry := range entries {
		var saved webhookJSON
		if err := json.Unmarshal(entry.Value(), &saved); err != nil {
			t.Fatal(err)
		}
		versions[entry.Revision()] = saved.Version
	}
	return versions
}
