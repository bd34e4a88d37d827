package model_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// event is what a sender says in a request.
type event struct {
	hook         hook
	user, key    string
	skip, broken bool
	coins, spent int64
	gems         int64 // may be negative
	team         string
}

// GoString is what a failing history prints.
func (e event) GoString() string { return fmt.Sprintf("%s %s", e.hook, e.body()) }

// hook is one of the two webhooks; see definitions.
type hook string

const (
	shop  hook = "Shop"
	guild hook = "Guild"
)

func (e event) body() []byte {
	if e.broken {
		return fmt.Appendf(nil, `{"user":%q`, e.user)
	}
	return fmt.Appendf(nil, `{"user":%q,"key":%q,"skip":%t,"coins":%d,"spent":%d,"gems":%d,"team":%q}`,
		e.user, e.key, e.skip, e.coins, e.spent, e.gems, e.team)
}

// knownKey is the idempotency key as the applier can know it: the shop's is in the
// payload, the guild's in a header.
func (e event) knownKey() string {
	if e.hook == shop && e.broken {
		return ""
	}
	return e.key
}

// change is one entry of the ledger, positive or negative.
type change struct {
	currency string
	amount   int64
}

// changes are those that the webhooks' mappings ask for, in their order.
func (e event) changes() (all []change) {
	asked := []change{{"coins", e.coins}, {"coins", -e.spent}, {"gems", e.gems}}
	if e.hook == guild {
		asked = []change{{"gems", -e.gems}}
	}
	for _, c := range asked {
		if c.amount != 0 {
			all = append(all, c)
		}
	}
	return all
}

// Balances stay within these, except that a revert may be told to go below.
var minimum, maximum = map[string]int64{"coins": 0, "gems": -5}, map[string]int64{"coins": 1 << 62, "gems": 12}

// fact is what the reference knows of a delivery that has an outcome.
type fact struct {
	event
	born     int // the place of its first message among all that were ever published
	outcome  string
	of       delivery.ID // that a duplicate repeats
	replays  int
	isDead   bool // a dead letter
	reverted bool
}

const applied = "applied"

// reference is the model: it knows what each delivery came to, and derives all else.
type reference struct {
	users    map[string]bool
	facts    map[delivery.ID]*fact
	replayed map[delivery.ID]bool // replays that ran, and whether they had an effect
	logs     map[string][]string  // of an account, in their order
	parked   map[parkedKey]hook
}

// parkedKey names a delivery that waits, or a replay of one.
type parkedKey struct{ id, replay delivery.ID }

func keyOf(d *delivery.Delivery) parkedKey {
	if d.Replay != nil {
		return parkedKey{d.ID, d.Replay.ID}
	}
	return parkedKey{id: d.ID}
}

func newReference() *reference {
	return &reference{
		users: map[string]bool{}, facts: map[delivery.ID]*fact{},
		replayed: map[delivery.ID]bool{}, logs: map[string][]string{}, parked: map[parkedKey]hook{},
	}
}

func (r *reference) clone() *reference {
	c := &reference{
		users: maps.Clone(r.users), facts: map[delivery.ID]*fact{}, replayed: maps.Clone(r.replayed),
		logs: map[string][]string{}, parked: maps.Clone(r.parked),
	}
	for id, f := range r.facts {
		copied := *f
		c.facts[id] = &copied
	}
	for account, lines := range r.logs {
		c.logs[account] = slices.Clone(lines)
	}
	return c
}

// balance is the sum of what counts. It does not look at the logs.
func (r *reference) balance(user, currency string) (sum int64) {
	for _, f := range r.facts {
		if f.outcome != applied || f.reverted || f.user != user {
			continue
		}
		for _, c := range f.changes() {
			if c.currency == currency {
				sum += c.amount
			}
		}
	}
	return sum
}

// team is what the latest guild delivery in the stream says that counts.
func (r *reference) team(user string) (team string, ok bool) {
	latest := -1
	for _, f := range r.facts {
		if f.outcome == applied && !f.reverted && f.user == user && f.hook == guild && f.born > latest {
			latest, team, ok = f.born, f.team, true
		}
	}
	return team, ok
}

// settle is what one delivery does when an applier gets it, for the first time or
// once more.
func (r *reference) settle(d *delivery.Delivery, e event, born int) {
	f := r.facts[d.ID]
	if d.Replay == nil {
		if f == nil {
			r.facts[d.ID] = r.decide(d.ID, &fact{event: e, born: born})
		}
		return
	}
	if _, ran := r.replayed[d.Replay.ID]; ran {
		return
	}
	runs := f == nil || f.isDead
	r.replayed[d.Replay.ID] = runs
	switch {
	case f == nil: // the database came back from before the delivery
		r.facts[d.ID] = r.decide(d.ID, &fact{event: e, born: born})
	case runs:
		f.replays++
		r.decide(d.ID, f)
	}
}

// park has a delivery wait for its webhook, if it is still to be settled.
func (r *reference) park(d *delivery.Delivery, h hook) {
	if r.isOpen(d) {
		r.parked[keyOf(d)] = h
	}
}

func (r *reference) unpark(d *delivery.Delivery) { delete(r.parked, keyOf(d)) }

func (r *reference) isParked(d *delivery.Delivery) bool { return r.parked[keyOf(d)] != "" }

func (r *reference) countParked(h hook) (n int) {
	for _, of := range r.parked {
		if of == h {
			n++
		}
	}
	return n
}

// waits reports whether later deliveries of a webhook have to be parked behind others.
func (r *reference) waits(h hook) bool { return r.countParked(h) > 0 }

// isOpen reports whether a delivery of a message is still to be settled.
func (r *reference) isOpen(d *delivery.Delivery) bool {
	if d.Replay == nil {
		return r.facts[d.ID] == nil
	}
	_, ran := r.replayed[d.Replay.ID]
	return !ran
}

// decide gives a delivery its outcome.
func (r *reference) decide(id delivery.ID, f *fact) *fact {
	f.outcome, f.of, f.isDead = "", delivery.ID{}, false
	for other, holder := range r.facts {
		isHolder := holder.outcome == applied && other != id && holder.hook == f.hook && f.knownKey() != "" && holder.knownKey() == f.knownKey()
		if isHolder && bytes.Equal(holder.body(), f.body()) {
			f.outcome, f.of = "duplicate", other
		} else if isHolder && !f.skips() {
			f.outcome = "idempotency_conflict"
		}
	}
	if f.outcome == "" {
		f.outcome = r.execute(id, f.event)
	}
	f.isDead = !slices.Contains([]string{applied, "duplicate", "skipped"}, f.outcome)
	return f
}

func (e event) skips() bool { return e.hook == shop && e.skip && !e.broken }

// execute makes all changes of a delivery or none, and says what came of it.
func (r *reference) execute(id delivery.ID, e event) (outcome string) {
	switch {
	case e.broken:
		return "invalid_json"
	case e.skips():
		return "skipped"
	case !r.users[e.user]:
		return "user_not_found"
	}
	balances := map[string]int64{}
	var lines [][2]string
	for _, c := range e.changes() {
		if _, ok := balances[c.currency]; !ok {
			balances[c.currency] = r.balance(e.user, c.currency)
		}
		now := balances[c.currency] + c.amount
		if c.amount < 0 && now < minimum[c.currency] {
			return "insufficient_balance"
		}
		if c.amount > 0 && now > maximum[c.currency] {
			return "balance_limit_exceeded"
		}
		balances[c.currency] = now
		lines = append(lines, [2]string{e.user + " " + c.currency, fmt.Sprintf("%s %+d = %d", id, c.amount, now)})
	}
	for _, l := range lines {
		r.logs[l[0]] = append(r.logs[l[0]], l[1])
	}
	return applied
}

// revert takes back a delivery's effect, all of it or nothing, and says whether it did.
func (r *reference) revert(id delivery.ID, allowNegative bool) bool {
	f := r.facts[id]
	if f == nil || f.outcome != applied || f.reverted {
		return false
	}
	sum := map[string]int64{}
	for _, c := range f.changes() {
		sum[c.currency] -= c.amount
	}
	for currency, amount := range sum {
		now := r.balance(f.user, currency) + amount
		if amount < 0 && !allowNegative && now < minimum[currency] || amount > 0 && now > maximum[currency] {
			return false
		}
	}
	// The logs: the last change first, but what increases a balance before the others.
	balances := map[string]int64{"coins": r.balance(f.user, "coins"), "gems": r.balance(f.user, "gems")}
	for _, increases := range []bool{true, false} {
		for _, c := range slices.Backward(f.changes()) {
			if c.amount < 0 == increases {
				balances[c.currency] -= c.amount
				account := f.user + " " + c.currency
				r.logs[account] = append(r.logs[account], fmt.Sprintf("%s %+d = %d", id, -c.amount, balances[c.currency]))
			}
		}
	}
	f.reverted = true
	return true
}

// state is all that the database should have, as observe reads it.
func (r *reference) state() map[string]string {
	s := map[string]string{}
	for id, f := range r.facts {
		text := f.outcome
		if f.of != (delivery.ID{}) {
			text += " of " + f.of.String()
		}
		if f.isDead {
			text += ", dead letter"
		}
		if f.reverted {
			text += ", reverted"
		}
		s["outcome "+id.String()] = fmt.Sprintf("%s, %d replays", text, f.replays)
	}
	for id, effect := range r.replayed {
		s["replay "+id.String()] = fmt.Sprint(effect)
	}
	for key := range r.parked {
		s[fmt.Sprint("parked ", key.id, " ", key.replay)] = "paused"
	}
	for account, lines := range r.logs {
		user, currency, _ := strings.Cut(account, " ")
		s["log "+account] = strings.Join(lines, ", ")
		s["balance "+account] = fmt.Sprint(r.balance(user, currency))
	}
	for user := range r.users {
		s["user "+user] = "is there"
		if team, ok := r.team(user); ok {
			s["team "+user] = team
		}
	}
	return s
}
