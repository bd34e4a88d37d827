package postgres

// PageQuery and GroupsQuery are the statements that a filter makes, to look at
// their plans.
func (f DeadLetterFilter) PageQuery() (query string, args []any)   { return f.page() }
func (f DeadLetterFilter) GroupsQuery() (query string, args []any) { return f.groups() }

// FailuresQuery is the statement of Failures.
const FailuresQuery = failuresQuery

// ActivityQuery is what Activities asks.
const ActivityQuery = activityQuery
