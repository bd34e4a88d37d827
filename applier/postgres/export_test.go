package postgres

import "context"

// PageQuery and GroupsQuery are the statements that a filter makes, to look at
// their plans.
func (f DeadLetterFilter) PageQuery() (query string, args []any)   { return f.page() }
func (f DeadLetterFilter) GroupsQuery() (query string, args []any) { return f.groups() }

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
