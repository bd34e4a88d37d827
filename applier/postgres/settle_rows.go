package postgres

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// rows are what a batch writes.
type rows struct {
	outcomes     outcomeColumns
	logs         logColumns
	balances     balanceColumns
	deadLetters  deadLetterColumns
	keyRows      keyColumns
	fieldHistory fieldHistoryColumns
	userFields   userFieldColumns
	counts       [tableCount]int

	touched map[ledger.Account]struct{}
	// keys and values are held back until they can be put in order.
	keys   map[senderKey]ledger.Taken
	values map[ledger.UserField]ledger.FieldValue
	// replays have their own statement: few batches have any.
	replays replayRows
	// parked have theirs, too.
	parked parkedRows
}

// spareRows keep the memory of the columns that every batch writes.
var spareRows = sync.Pool{New: func() any { return new(rows) }}

// spare gives rows back. Nobody may use them afterwards.
func (r *rows) spare() {
	*r = rows{outcomes: emptied(r.outcomes), logs: emptied(r.logs)}
	spareRows.Put(r)
}

// table returns the columns of a table.
func (r *rows) table(t int) any {
	return [...]any{
		outcomesTable: &r.outcomes, logsTable: &r.logs, balancesTable: &r.balances, deadLettersTable: &r.deadLetters,
		keysTable: &r.keyRows, fieldHistoryTable: &r.fieldHistory, userFieldsTable: &r.userFields,
	}[t]
}

// used are the tables that the statement writes to.
func (r *rows) used() tables {
	used := alwaysWritten
	for t, count := range r.counts {
		if count == 0 {
			continue
		}
		for _, set := range []tables{keyTables, fieldTables} {
			if set&(1<<t) != 0 {
				used |= set
			}
		}
	}
	return used
}

// add has the rows of a delivery that is executed for the first time.
func (r *rows) add(item applier.Item, d decision) {
	r.addOutcome(item, d)
	r.addEffect(item, d)
	if d.Status == delivery.Failed {
		r.addDeadLetter(item, d)
	}
}

// addEffect has the rows of what a delivery changes.
func (r *rows) addEffect(item applier.Item, d decision) {
	for i, e := range d.Entries {
		r.addLog(item, i+1, e)
	}
	for i, f := range d.Fields {
		r.addField(item, i+1, d.User, f, d.first)
	}
	if d.Key != nil {
		if r.keys == nil {
			r.keys = map[senderKey]ledger.Taken{}
		}
		r.keys[senderKey{nameText(item.Delivery.WebhookID), d.Key.Hash}] = ledger.Taken{By: item.Delivery.ID, Body: d.Key.Body, Original: d.original}
	}
}

// finish adds what is one row however many deliveries of the batch change it.
func (r *rows) finish(book ledger.Book) {
	for account := range r.touched {
		r.addBalance(account, book[account])
	}
	for key, v := range r.values {
		c := &r.userFields
		r.counts[userFieldsTable]++
		c.User.id(key.User)
		c.Field.text(key.Field)
		c.Value.text(v.Text)
		c.ID.id(v.By)
		c.Epoch.int(v.At.Epoch)
		c.Sequence.int(int64(v.At.Sequence))
		c.Index.int(int64(v.At.Index))
		c.StoredAt.timeOrNull(v.At.StoredAt)
	}
	// Keys have no lock, so transactions wait for each other's. A common order prevents a
	// deadlock.
	ordered := slices.SortedFunc(maps.Keys(r.keys), func(a, b senderKey) int {
		return cmp.Or(strings.Compare(a.webhook, b.webhook), bytes.Compare(a.hash[:], b.hash[:]))
	})
	for _, key := range ordered {
		c, holder := &r.keyRows, r.keys[key]
		r.counts[keysTable]++
		c.WebhookID.text(key.webhook)
		c.Key.bytes(key.hash[:])
		c.Body.bytes(holder.Body[:])
		c.ID.id(holder.By)
		if holder.Original == ([32]byte{}) {
			c.Original.null()
		} else {
			c.Original.bytes(holder.Original[:])
		}
	}
}

func (r *rows) addOutcome(item applier.Item, s decision) {
	d, f := item.Delivery, s.words()
	community, name, version := "", "", 0
	if item.Webhook != nil {
		community, name, version = item.Webhook.Community, item.Webhook.Name, item.Webhook.Version
	}
	sum := sha256.Sum256(d.Body)
	c := &r.outcomes
	r.counts[outcomesTable]++
	c.ID.id(d.ID)
	c.Community.text(nameText(community))
	c.WebhookID.text(nameText(d.WebhookID))
	c.Webhook.text(name)
	c.Version.int(int64(version))
	c.Status.text(string(s.Status))
	c.Outcome.textOrNull(string(s.Outcome))
	c.Reason.textOrNull(string(f.Reason))
	c.Detail.textOrNull(f.Detail)
	c.Path.textOrNull(f.Path)
	c.User.idOrNull(s.User)
	c.Payload.bytes(sum[:])
	c.Sequence.int(int64(s.place.Sequence))
	c.Index.int(int64(s.place.Index))
	c.Attempts.int(int64(d.Attempt))
	c.ReceivedAt.time(d.ReceivedAt)
	c.DuplicateOf.idOrNull(s.DuplicateOf)
	c.Epoch.int(s.place.Epoch)
	c.Changes.int(int64(len(s.Entries)))
}

func (r *rows) addLog(item applier.Item, ordinal int, e ledger.Entry) {
	if r.touched == nil {
		r.touched = map[ledger.Account]struct{}{}
	}
	r.touched[e.Account] = struct{}{}
	c := &r.logs
	r.counts[logsTable]++
	c.ID.id(item.Delivery.ID)
	c.Ordinal.int(int64(ordinal))
	c.User.id(e.User)
	c.Currency.text(e.Currency)
	c.Number.int(e.Number)
	c.Operator.text(string(e.Operator))
	c.Amount.int(e.Amount)
	c.Balance.int(e.Balance)
	c.WebhookID.text(nameText(item.Delivery.WebhookID))
	c.Action.text(item.Webhook.Name)
}

func (r *rows) addField(item applier.Item, ordinal int, user delivery.ID, f applier.FieldChange, at ledger.Place) {
	d := item.Delivery
	c := &r.fieldHistory
	r.counts[fieldHistoryTable]++
	c.ID.id(d.ID)
	c.Ordinal.int(int64(ordinal))
	c.User.id(user)
	c.Field.text(f.Field)
	c.Value.text(f.Value)
	c.Epoch.int(at.Epoch)
	c.Sequence.int(int64(at.Sequence))
	c.Index.int(int64(at.Index))
	c.WebhookID.text(nameText(d.WebhookID))
	c.Action.text(item.Webhook.Name)
	if r.values == nil {
		r.values = map[ledger.UserField]ledger.FieldValue{}
	}
	key, v := ledger.UserField{User: user, Field: f.Field}, ledger.FieldValue{Text: f.Value, By: d.ID, At: at}
	if old, ok := r.values[key]; !ok || old.Before(v) {
		r.values[key] = v
	}
}

func (r *rows) addBalance(account ledger.Account, b ledger.Balance) {
	c := &r.balances
	r.counts[balancesTable]++
	c.User.id(account.User)
	c.Currency.text(account.Currency)
	c.Amount.int(b.Amount)
	c.Entries.int(b.Entries)
}

func (r *rows) addDeadLetter(item applier.Item, s decision) {
	d := item.Delivery
	c := &r.deadLetters
	r.counts[deadLettersTable]++
	c.ID.id(d.ID)
	c.Headers.text(headersJSON(d.Headers))
	c.Payload.bytes(d.Body)
	by, key := missingUser(item, s.Failure)
	c.UserBy.textOrNull(by)
	c.UserKey.textOrNull(key)
	c.WebhookID.text(nameText(d.WebhookID))
	if key := item.Plan.Key; key != nil {
		c.Key.bytes(key.Hash[:])
		c.Body.bytes(key.Body[:])
	} else {
		c.Key.null()
		c.Body.null()
	}
	c.StoredAt.timeOrNull(s.first.StoredAt)
	c.Method.textOrNull(d.Method)
	c.Query.bytesOrNull(queryBytes(d.Query))
	if s.first == s.place {
		c.Epoch.null()
		c.Sequence.null()
		c.Index.null()
		return
	}
	c.Epoch.int(s.first.Epoch)
	c.Sequence.int(int64(s.first.Sequence))
	c.Index.int(int64(s.first.Index))
}

// queryBytes is nil for a request without a query.
func queryBytes(query string) []byte {
	if query == "" {
		return nil
	}
	return []byte(query)
}

func headersJSON(all []delivery.Header) string {
	text, err := json.Marshal(all)
	if err != nil || all == nil { // strings always marshal
		return "[]"
	}
	return string(text)
}

// missingUser is the identifier of the user that a dead letter waits for.
func missingUser(item applier.Item, failure *delivery.Failure) (by, key string) {
	user, ok := userOf(item)
	if !ok || failure.Reason != delivery.UserNotFound {
		return "", ""
	}
	return user.by, user.key
}
