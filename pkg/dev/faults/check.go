package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// outcome is a delivery's row.
type outcome struct{ status, outcome, reason string }

// logRow is one gamification log. Its amount is the number of the request.
type logRow struct {
	number           int64
	delivery, userID string
}

// evidence is what the database shows once all is settled.
type evidence struct {
	outcomes map[string]outcome // of the ids that were answered, by id
	logs     []logRow           // all that are kept
	balances map[string]int64   // coins by the user's id
	users    map[string]string  // their names, by id
}

// Finding is something that must not be.
type Finding struct {
	// Kind is lost, twice, wrong, stuck, audit, or another part's word.
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

func found(kind, format string, args ...any) Finding {
	return Finding{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// sent is what the book keeps of a request when its round is over.
type sent struct {
	user string
	// certain requests were answered 202.
	certain bool
	applied bool
	// answered503 requests got that as their last word.
	answered503 bool
}

// book has all requests of a campaign.
type book struct {
	requests map[int64]*sent
	// deliveries are the ids that were answered, and for which request.
	deliveries map[string]int64
	// balances are what the users should have.
	balances map[string]int64
}

func newBook() *book {
	return &book{requests: map[int64]*sent{}, deliveries: map[string]int64{}, balances: map[string]int64{}}
}

// tally counts a round's requests.
type tally struct {
	Accepted, Refused, Stored, Unanswered, UnansweredStored int
	Lost, Twice, Wrong                                      int
}

// enter takes a round's requests into the book.
func (b *book) enter(requests []*request) (t tally, findings []Finding) {
	for _, r := range requests {
		user := r.late
		if user == "" {
			user = userName(r.user)
		}
		s := &sent{user: user, certain: r.accepted()}
		b.requests[r.number] = s
		switch {
		case s.certain:
			t.Accepted++
		case r.last() == 0:
			t.Unanswered++
		case r.last() == http.StatusServiceUnavailable:
			t.Refused++
			s.answered503 = true
		default:
			t.Wrong++
			findings = append(findings, found("wrong", "request %d was answered %d", r.number, r.last()))
		}
		for _, a := range r.answers {
			if a.status != http.StatusAccepted {
				continue
			}
			if other, ok := b.deliveries[a.id]; ok {
				t.Twice++
				findings = append(findings, found("twice", "the id %s was answered to the requests %d and %d", a.id, other, r.number))
			}
			b.deliveries[a.id] = r.number
		}
	}
	return t, findings
}

// check compares a round's requests, and all earlier ones, with what is there.
func (b *book) check(requests []*request, e evidence, t *tally) (findings []Finding) {
	logs := map[int64][]logRow{}
	for _, row := range e.logs {
		logs[row.number] = append(logs[row.number], row)
	}
	for number, rows := range logs {
		findings = append(findings, b.checkLogs(number, rows, e, t)...)
	}
	for _, r := range requests {
		s := b.requests[r.number]
		if s.certain && !s.applied {
			t.Lost++
			findings = append(findings, found("lost", "request %d was answered 202 and has no gamification log: %+v", r.number, r.answers))
		}
		for _, a := range r.answers {
			if a.status == http.StatusAccepted {
				findings = append(findings, b.checkOutcome(r, a.id, e.outcomes, t)...)
			}
		}
	}
	findings = append(findings, b.checkBalances(e)...)
	slices.SortFunc(findings, func(x, y Finding) int { return strings.Compare(x.Kind+x.Detail, y.Kind+y.Detail) })
	return findings
}

// checkLogs is about the gamification logs of one request.
func (b *book) checkLogs(number int64, rows []logRow, e evidence, t *tally) (findings []Finding) {
	s, ok := b.requests[number]
	if !ok {
		return []Finding{found("wrong", "there is a log of request %d, which nobody sent", number)}
	}
	if len(rows) > 1 {
		t.Twice++
		findings = append(findings, found("twice", "request %d was executed %d times: %+v", number, len(rows), rows))
	}
	if name := e.users[rows[0].userID]; name != s.user {
		findings = append(findings, found("wrong", "request %d of %s changed the balance of %s", number, s.user, name))
	}
	if s.applied {
		return findings
	}
	s.applied = true
	b.balances[s.user] += number
	switch {
	case s.certain:
	case s.answered503:
		t.Stored++
	default:
		t.UnansweredStored++
	}
	return findings
}

func (b *book) checkOutcome(r *request, id string, outcomes map[string]outcome, t *tally) []Finding {
	o, ok := outcomes[id]
	duplicate := o.outcome == "duplicate" && r.keyed
	switch {
	case !ok:
		t.Lost++
		return []Finding{found("lost", "the delivery %s of request %d was answered 202 and has no outcome", id, r.number)}
	case o.status != "success" || o.outcome != "applied" && !duplicate:
		t.Wrong++
		return []Finding{found("wrong", "the delivery %s of request %d is %s %s %s", id, r.number, o.status, o.outcome, o.reason)}
	}
	return nil
}

// checkBalances compares each user's balance with all requests that had an effect.
func (b *book) checkBalances(e evidence) (findings []Finding) {
	has := map[string]int64{}
	for id, amount := range e.balances {
		has[e.users[id]] += amount
	}
	for user, want := range b.balances {
		if has[user] != want {
			findings = append(findings, found("balance", "%s has %d coins, and the requests that had an effect make %d", user, has[user], want))
		}
	}
	return findings
}
