package trial

import (
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Comparison is what a definition would change, as programs read it. Each delivery counts
// once: Deliveries is the sum of Unchanged, Different, NewlyFailing, NewlySucceeding,
// DependsOnBalance, StillFailing and Undecided.
type Comparison struct {
	WebhookID string  `json:"webhook_id"`
	Webhook   string  `json:"webhook"`
	Version   int     `json:"version"` // in force
	Against   Against `json:"against"`

	Deliveries int `json:"deliveries"`
	Asked      int `json:"asked"`
	// FromDeadLetters counts the deliveries whose messages have left the stream.
	FromDeadLetters int `json:"from_dead_letters"`
	// Messages is how many messages were read. GaveUp is set if the stream has more and
	// fewer deliveries were found than asked for.
	Messages int  `json:"messages"`
	GaveUp   bool `json:"gave_up"`
	// VersionsGone counts deliveries whose version is no longer kept; the present one is
	// used instead.
	VersionsGone int `json:"versions_gone"`

	Unchanged       int       `json:"unchanged"`
	Different       []Case    `json:"different"`
	NewlyFailing    []Failing `json:"newly_failing"`
	NewlySucceeding []Case    `json:"newly_succeeding"`
	// DependsOnBalance counts deliveries that only one of the two fails for a balance.
	// Balances are those of today, changed by these deliveries.
	DependsOnBalance        int   `json:"depends_on_balance"`
	DependsOnBalanceExample *Case `json:"depends_on_balance_example"`
	// StillFailing fail by both, for the reasons that StillFailingBy has; these are
	// those of the new definition.
	StillFailing   int       `json:"still_failing"`
	StillFailingBy []Failing `json:"still_failing_by"`
	// Undecided cannot be decided now, and would be pending.
	Undecided []Undecided `json:"undecided"`

	// The lengths of Different and NewlySucceeding when the lists are not cut.
	DifferentCount       int `json:"-"`
	NewlySucceedingCount int `json:"-"`
}

// Case is one delivery with its effect before and after.
type Case struct {
	ID     delivery.ID `json:"id"`
	Before Effect      `json:"before"`
	After  Effect      `json:"after"`
}

// Effect is what a definition makes of a delivery. With a reason there is no
// outcome; one that fails for a balance has what was asked for.
type Effect struct {
	User    *admin.User       `json:"user"`
	Changes []ChangeAsked     `json:"changes"`
	Fields  []admin.Field     `json:"fields"`
	Outcome *delivery.Outcome `json:"outcome"`
	Reason  *delivery.Reason  `json:"reason"`
	Detail  *string           `json:"detail"`
}

// ChangeAsked is one change of a balance. The amount is exact text.
type ChangeAsked struct {
	Currency string `json:"currency"`
	Operator string `json:"operator"`
	Amount   string `json:"amount"`
}

// These are parts of a comparison of many deliveries.
type (
	Failing   = planning.Failing
	Undecided = planning.Waiting
)
