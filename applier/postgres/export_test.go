package postgres

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// PageQuery and GroupsQuery are the statements that a filter makes, to look at
// their plans.
func (f DeadLetterFilter) PageQuery() (query string, args []any) { return f.page(context.Background()) }

func (f DeadLetterFilter) GroupsQuery() (query string, args []any) {
	return f.groups(context.Background())
}

// FailuresQuery is the statement of Failures.
const FailuresQuery = failuresQuery

// ActivityQuery is what Activities asks.
const ActivityQuery = activityQuery

// OldestSchema and NewestSchema are what this program can work with and makes.
var OldestSchema, NewestSchema = int64(oldestSchema), newestSchema

// MigrateTo is Migrate that stops at a migration.
func (s *Store) MigrateTo(ctx context.Context, version int64) (applied int, err error) {
	return s.migrateTo(ctx, version)
}

// Servers are the addresses that a URL names.
func Servers(url string) (addresses []string, err error) {
	cfg, err := pg.ParseAddress(url)
	if err != nil {
		return nil, err
	}
	for _, one := range pg.EachHost(cfg) {
		addresses = append(addresses, net.JoinHostPort(one.Host, strconv.Itoa(int(one.Port))))
	}
	return addresses, nil
}

// Show returns a setting of the store's connections.
func (s *Store) Show(ctx context.Context, setting string) (value string, err error) {
	err = s.db.GetContext(ctx, &value, "SELECT current_setting($1)", setting)
	return value, err
}

// Password is that of a URL.
func Password(url string) (string, error) {
	cfg, err := pg.ParseAddress(url)
	return cfg.Password, err
}

// KeptPlans are the statements of Settle whose plans are kept, by name.
func KeptPlans() map[string]string {
	all := map[string]string{
		"park": parkQuery, "unpark": unparkQuery, "parked first": parkedFirstQuery,
	}
	for _, kinds := range identifierSets {
		all[fmt.Sprintf("lock users %04b", kinds)] = lockUsersQuery(kinds)
		all[fmt.Sprintf("find users %04b", kinds)] = findUsersQuery(kinds)
	}
	for _, set := range readSets {
		all[fmt.Sprintf("read %03b", set)] = readQuery(set)
	}
	for _, used := range writeSets {
		all[fmt.Sprintf("write %b", used)] = writeQuery(used)
	}
	return all
}

// KeptPlan returns the plan that a connection keeps of a statement.
func (s *Store) KeptPlan(ctx context.Context, query string) (plan []string, err error) {
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PREPARE kept AS "+query); err != nil {
		return nil, err
	}
	defer conn.ExecContext(ctx, "DEALLOCATE kept") // it is the test's own
	var nulls []string
	for strings.Contains(query, fmt.Sprintf("$%d:", len(nulls)+1)) || strings.Contains(query, fmt.Sprintf("$%d,", len(nulls)+1)) {
		nulls = append(nulls, "NULL")
	}
	err = conn.SelectContext(ctx, &plan, "EXPLAIN (COSTS OFF) EXECUTE kept ("+strings.Join(nulls, ", ")+")")
	return plan, err
}

// Exec runs a statement on one of the store's connections.
func (s *Store) Exec(ctx context.Context, statement string) error {
	_, err := s.db.ExecContext(ctx, statement)
	return err
}

// SetLeadSilence is for leads that are taken from now on.
func (s *Store) SetLeadSilence(d time.Duration) { s.leadSilence = d }

// SetPatience is for batches that are settled from now on.
func (s *Store) SetPatience(d time.Duration) { s.settling.patience.lasts = d }

// PartitionClass and PartitionKey are the advisory lock of a partition.
const PartitionClass = partitionClass

func PartitionKey(generation, partition int) int32 { return partitionKey(generation, partition) }

// ParkedGroupsQuery counts the parked rows of a webhook.
const ParkedGroupsQuery = parkedGroupsQuery

// HasGrants reports whether the roles' privileges on a table are decided.
func HasGrants(table string) bool {
	return slices.ContainsFunc(grants, func(g tableGrants) bool { return g.table == table })
}

// SetAhead puts forward the clock that a counter goes by.
func (c *DeliveryCounter) SetAhead(d time.Duration) { c.ahead = d }

// These and CountsQuery are statements to look at their plans.
const (
	KeyedQuery           = keyedQuery
	WebhookActivityQuery = webhookActivityQuery
	CommunitiesQuery     = communitiesQuery
	ErasureQuery         = erasureQuery
)

func (f CountFilter) CountsQuery(from, to, countedTo time.Time, step time.Duration) (query string, args []any) {
	return f.countsQuery(from, to, countedTo, step)
}

// TotalQuery is as CountsQuery.
func (f CountFilter) TotalQuery(from, to, countedTo time.Time) (query string, args []any) {
	return f.totalQuery(from, to, countedTo)
}

// InPieces tells the pieces of a span, each with its size.
func InPieces(from, to time.Time) (all []string) {
	const layout = "02 15:04"
	for _, p := range inPieces(from, to, countSteps) {
		all = append(all, p.size.String()+" "+p.from.Format(layout)+" "+p.to.Format(layout))
	}
	return all
}

// ListUsersQuery is what ListUsers asks.
func ListUsersQuery(f UserFilter) (query string, args []any) { return f.query(context.Background()) }
