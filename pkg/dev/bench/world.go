package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const definition = `name: Bench
community: %s
state: active
auth:
  api_key: true
encryption: none
user:
  by: username
  path: customer.login
when:
  - {path: type, equals: order.paid}
mappings:
  - {currency: xp, operator: add, value: {path: order.points}}
`

// world has a number of communities, each with a webhook and its share of the
// users.
type world struct {
	communities []string
	webhooks    []webhook
	events      []event
	changes     int64 // that a delivery makes; 0 for 1
}

// resize makes the events again, with other bodies.
func (s *side) resize(bodyBytes int) { s.events = newEvents(s.host, s.webhooks, bodyBytes) }

// newWorld makes the communities with the product's own command.
func (b *bench) newWorld(ctx context.Context, name string, communities int) (*world, error) {
	w := &world{communities: spread(name, communities)}
	for k, community := range w.communities {
		hook, err := b.newCommunity(ctx, community, k, communities, definition)
		if err != nil {
			return nil, err
		}
		w.webhooks = append(w.webhooks, hook)
	}
	w.events = newEvents(b.host, w.webhooks, usualBody)
	return w, nil
}

// newCommunity makes a community with a webhook and every n-th user, from the k-th on.
func (b *bench) newCommunity(ctx context.Context, community string, k, n int, definition string, env ...string) (webhook, error) {
	if err := b.importUsers(ctx, nil, community, k, n); err != nil {
		return webhook{}, err
	}
	return b.apply(ctx, env, fmt.Sprintf(definition, community))
}

// copyTables has the product's own migrations make the tables once more, in a
// database of their own, with all users in one community.
func (b *bench) copyTables(ctx context.Context, name, community string) (db *sql.DB, rawURL string, err error) {
	if db, rawURL, err = b.createDatabase(ctx, name); err != nil {
		return nil, "", err
	}
	env := []string{"DATABASE_URL=" + rawURL}
	if _, err := b.coinhook(ctx, env, "", "setup", "--yes"); err != nil {
		return nil, "", err
	}
	return db, rawURL, b.importUsers(ctx, env, community, 0, 1)
}

// spread gives names of n communities whose slots are spread evenly, so that a
// comparison of appliers is not one of luck.
func spread(name string, n int) []string {
	names := make([]string, n)
	for k := range names {
		for try := 0; ; try++ {
			names[k] = fmt.Sprintf("%s-%d-%d", name, k, try)
			if (delivery.SlotOf(names[k])-1)%n == k {
				break
			}
		}
	}
	return names
}

// importUsers makes every n-th user, from the k-th on.
func (b *bench) importUsers(ctx context.Context, env []string, community string, k, n int) error {
	var csv strings.Builder
	fmt.Fprintln(&csv, "email,username")
	for i := k; i < users; i += n {
		fmt.Fprintf(&csv, "%s@example.com,%[1]s\n", userName(i))
	}
	_, err := b.coinhook(ctx, env, csv.String(), "users", "import", "-", "--community", community, "--create-community", "--yes")
	return err
}

func (b *bench) apply(ctx context.Context, env []string, definition string) (w webhook, err error) {
	out, err := b.coinhook(ctx, env, definition, "webhooks", "apply", "-f", "-", "-o", "json", "--yes")
	if err != nil {
		return w, err
	}
	if err := json.Unmarshal(out, &w); err != nil || w.ID == "" || w.APIKey == "" && strings.Contains(definition, "api_key: true") {
		return w, fmt.Errorf("coinhook webhooks apply: want JSON with id and api_key, not %s", out)
	}
	return w, nil
}
