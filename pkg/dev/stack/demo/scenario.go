package demo

import (
	"bytes"
	"crypto/rand"
	"embed"
	"fmt"
	"math/big"
	"time"
)

//go:embed data
var data embed.FS

// Files of the webhooks' definitions.
const (
	pullRequests = "pull-requests.yaml"
	purchases    = "purchases.yaml"
	refunds      = "refunds.yaml"
	rewards      = "rewards.yaml"
)

// webhookFiles are in the order in which they are applied. All but the shop's own
// refunds, which have an API key, are signed.
var webhookFiles = []string{pullRequests, purchases, refunds, rewards}

// The users of users.csv.
const (
	developer = "Codertocat"
	customer  = "jenny"
)

var users = []string{developer, customer}

// The purchase and the reward of the demo give this many coins.
const (
	coinsBought   = 25
	coinsRewarded = 10
)

// planned is one delivery and what must become of it.
type planned struct {
	name    string
	webhook string
	body    []byte   // or the query
	headers []string // that the sender adds, NAME: VALUE
	answer  string   // that the sender waits for, "" for the usual one
	want    outcome
	// user and change are what a delivery that is applied does.
	user   string
	change *change
}

// outcome is how a delivery ended.
type outcome struct {
	Status  string `json:"status"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
}

func (o outcome) String() string {
	switch {
	case o.Reason != "":
		return o.Status + " " + o.Reason
	case o.Outcome != "":
		return o.Status + " " + o.Outcome
	}
	return o.Status
}

// change is one change of a balance.
type change struct {
	Currency string `json:"currency"`
	Operator string `json:"operator"`
	Amount   string `json:"amount"`
	Balance  string `json:"balance"`
}

var (
	applied             = outcome{Status: "success", Outcome: "applied"}
	skipped             = outcome{Status: "success", Outcome: "skipped"}
	userNotFound        = outcome{Status: "failed", Reason: "user_not_found"}
	insufficientBalance = outcome{Status: "failed", Reason: "insufficient_balance"}
)

// scenario is what the demo sends, given the balances before it. The senders' own ids
// are new each time, because a webhook takes each once.
func scenario(before map[string]balances) ([]planned, error) {
	var b bodies
	// More than the customer can have then.
	tooMuch := new(big.Rat).Add(before[customer].of("coins"), big.NewRat(coinsBought+coinsRewarded+1000, 1))
	cents := new(big.Rat).Mul(tooMuch, big.NewRat(100, 1))
	email, event := `"email": "jenny@example.com"`, rand.Text()

	all := []planned{
		{
			name: "a closed pull request of a user", webhook: pullRequests, want: applied,
			body: b.read("pull_request.closed.json"), headers: ofGitHub(),
			user: developer, change: &change{Currency: "xp", Operator: "add", Amount: "50"},
		},
		{
			name: "a pull request that was only opened", webhook: pullRequests, want: skipped,
			body: b.read("pull_request.opened.json"), headers: ofGitHub(),
		},
		{
			name: "a closed pull request of somebody unknown", webhook: pullRequests, want: userNotFound,
			body:    bytes.ReplaceAll(b.read("pull_request.closed.json"), []byte(developer), []byte("mona-lisa")),
			headers: ofGitHub(),
		},
		{
			name: "a purchase of 25.90", webhook: purchases, want: applied,
			body: b.read("checkout.session.completed.json",
				`"id": "evt_1Fixture0001"`, `"id": "evt_`+rand.Text()+`"`,
				`"email": "example@example.com"`, email,
				`"amount_total": null`, `"amount_total": 2590`),
			user: customer, change: &change{Currency: "coins", Operator: "add", Amount: fmt.Sprint(coinsBought)},
		},
		{
			name: "a reward for an advertisement, by GET", webhook: rewards, want: applied,
			body: fmt.Appendf(nil, "appUserId=%s&rewards=%d&eventId=%s&timestamp=%s",
				customer, coinsRewarded, event, time.Now().UTC().Format("200601021504")),
			answer: event + ":OK",
			user:   customer, change: &change{Currency: "coins", Operator: "add", Amount: fmt.Sprint(coinsRewarded)},
		},
		{
			name: "a refund of more than there is", webhook: refunds, want: insufficientBalance,
			body: b.read("charge.refunded.json",
				"\"email\": null,\n        \"name\": \"Jenny Rosen\"", email+",\n        \"name\": \"Jenny Rosen\"",
				`"amount_refunded": 0`, `"amount_refunded": `+cents.FloatString(0)),
		},
	}
	return all, b.err
}

// ofGitHub are the headers that GitHub adds to its signature.
func ofGitHub() []string {
	return []string{"X-GitHub-Event: pull_request", "X-GitHub-Delivery: " + rand.Text()}
}

// bodies reads embedded bodies and keeps the first error.
type bodies struct{ err error }

// read returns a body with each old text replaced by the new one after it. The
// old text must be there once: otherwise the demo would send something else
// than it says.
func (b *bodies) read(name string, oldNew ...string) []byte {
	body, err := data.ReadFile("data/" + name)
	for i := 0; err == nil && i < len(oldNew); i += 2 {
		if n := bytes.Count(body, []byte(oldNew[i])); n != 1 {
			err = fmt.Errorf("body %s has %q %d times, not once", name, oldNew[i], n)
			break
		}
		body = bytes.Replace(body, []byte(oldNew[i]), []byte(oldNew[i+1]), 1)
	}
	if err != nil && b.err == nil {
		b.err = err
	}
	return body
}

// balances are a user's, currency to amount. One that never changed may be
// absent.
type balances map[string]string

// of returns a balance as a number; 0 for what is not one, which the check
// against the text shows.
func (b balances) of(currency string) *big.Rat {
	if n, ok := new(big.Rat).SetString(b[currency]); ok {
		return n
	}
	return new(big.Rat)
}
