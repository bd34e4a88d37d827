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
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
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
	*r = rows{outcomes: pg.Emptied(r.outcomes), logs: pg.Emptied(r.logs)}
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
		for _, set := range []tables{failedTables, keyTables, fieldTables} {
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
		r.keys[senderKey{pg.NameText(item.Delivery.WebhookID), d.Key.Hash}] = ledger.Taken{By: item.Delivery.ID, Body: d.Key.Body, Original: d.original}
	}
}

// finish adds what is one row however many deliveries of the batch change it.
func (r *rows) finish(book ledger.Book) {
	for account := range r.touched {
		r.counts[balancesTable]++
		r.balances.add(account, book[account])
	}
	for key, v := range r.values {
		c := &r.userFields
		r.counts[userFieldsTable]++
		c.User.ID(key.User)
		c.Field.Text(key.Field)
		c.Value.Text(v.Text)
		c.ID.ID(v.By)
		c.Epoch.Int(v.At.Epoch)
		c.Sequence.Int(int64(v.At.Sequence))
		c.Index.Int(int64(v.At.Index))
		c.StoredAt.TimeOrNull(v.At.StoredAt)
	}
	// Keys have no lock, so transactions wait for each other's. A common order prevents a
	// deadlock.
	ordered := slices.SortedFunc(maps.Keys(r.keys), func(a, b senderKey) int {
		return cmp.Or(strings.Compare(a.webhook, b.webhook), bytes.Compare(a.hash[:], b.hash[:]))
	})
	for _, key := range ordered {
		c, holder := &r.keyRows, r.keys[key]
		r.counts[keysTable]++
		c.WebhookID.Text(key.webhook)
		c.Key.Bytes(key.hash[:])
		c.Body.Bytes(holder.Body[:])
		c.ID.ID(holder.By)
		if holder.Original == ([32]byte{}) {
			c.Original.Null()
		} else {
			c.Original.Bytes(holder.Original[:])
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
	c.ID.ID(d.ID)
	c.Community.Text(pg.NameText(community))
	c.WebhookID.Text(pg.NameText(d.WebhookID))
	c.Webhook.Text(name)
	c.Version.Int(int64(version))
	c.Status.Text(string(s.Status))
	c.Outcome.TextOrNull(string(s.Outcome))
	c.Reason.TextOrNull(string(f.Reason))
	c.Detail.TextOrNull(f.Detail)
	c.Path.TextOrNull(f.Path)
	c.User.IDOrNull(s.User)
	c.Payload.Bytes(sum[:])
	c.Sequence.Int(int64(s.place.Sequence))
	c.Index.Int(int64(s.place.Index))
	c.Attempts.Int(int64(d.Attempt))
	c.ReceivedAt.Time(d.ReceivedAt)
	c.DuplicateOf.IDOrNull(s.DuplicateOf)
	c.Epoch.Int(s.place.Epoch)
	c.Changes.Int(int64(len(s.Entries)))
}

func (r *rows) addLog(item applier.Item, ordinal int, e ledger.Entry) {
	if r.touched == nil {
		r.touched = map[ledger.Account]struct{}{}
	}
	r.touched[e.Account] = struct{}{}
	r.counts[logsTable]++
	r.logs.add(item.Delivery.ID, int64(ordinal), e, pg.NameText(item.Delivery.WebhookID), item.Webhook.Name)
}

func (r *rows) addField(item applier.Item, ordinal int, user delivery.ID, f applier.FieldChange, at ledger.Place) {
	d, key := item.Delivery, ledger.UserField{User: user, Field: f.Field}
	r.counts[fieldHistoryTable]++
	r.fieldHistory.add(d.ID, int64(ordinal), key, at, pg.NameText(d.WebhookID), item.Webhook.Name)
	r.fieldHistory.Value.Text(f.Value)
	if r.values == nil {
		r.values = map[ledger.UserField]ledger.FieldValue{}
	}
	v := ledger.FieldValue{Text: f.Value, By: d.ID, At: at}
	if old, ok := r.values[key]; !ok || old.Before(v) {
		r.values[key] = v
	}
}

func (r *rows) addDeadLetter(item applier.Item, s decision) {
	d := item.Delivery
	c := &r.deadLetters
	r.counts[deadLettersTable]++
	c.ID.ID(d.ID)
	c.Headers.JSON(headersJSON(d.Headers))
	c.Payload.Bytes(d.Body)
	by, key := missingUser(item, s.Failure)
	c.UserBy.TextOrNull(by)
	c.UserKey.TextOrNull(key)
	c.WebhookID.Text(pg.NameText(d.WebhookID))
	if key := item.Plan.Key; key != nil {
		c.Key.Bytes(key.Hash[:])
		c.Body.Bytes(key.Body[:])
	} else {
		c.Key.Null()
		c.Body.Null()
	}
	c.StoredAt.TimeOrNull(s.first.StoredAt)
	c.Method.TextOrNull(d.Method)
	c.Query.BytesOrNull(queryBytes(d.Query))
	if s.first == s.place {
		c.Epoch.Null()
		c.Sequence.Null()
		c.Index.Null()
		return
	}
	c.Epoch.Int(s.first.Epoch)
	c.Sequence.Int(int64(s.first.Sequence))
	c.Index.Int(int64(s.first.Index))
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
