package postgres

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// rows are what a batch writes.
type rows struct {
	tables  [tableCount]table
	touched map[ledger.Account]struct{}
	// keys and values are held back until they can be put in order.
	keys   map[senderKey]ledger.Taken
	values map[userField]ledger.FieldValue
	// replays have their own statement: few batches have any.
	replays replayRows
	// parked have theirs, too.
	parked parkedRows
}

// table has the rows for one table, column by column.
type table struct {
	count   int
	columns [maxColumns]array
}

type userField struct {
	user  delivery.ID
	field string
}

// used are the tables that the statement writes to.
func (r *rows) used() tables {
	used := alwaysWritten
	for t := range r.tables {
		if r.tables[t].count == 0 {
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

// next begins a row of a table.
func (r *rows) next(t int) *[maxColumns]array {
	r.tables[t].count++
	return &r.tables[t].columns
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
		c := r.next(userFieldsTable)
		c[0].id(key.user)
		c[1].text(key.field)
		c[2].text(v.Text)
		c[3].id(v.By)
		c[4].int(v.At.Epoch)
		c[5].int(int64(v.At.Sequence))
		c[6].int(int64(v.At.Index))
		c[7].timeOrNull(v.At.StoredAt)
	}
	// Nobody has locked a key, so transactions wait for each other's. With one order
	// they never wait in a circle.
	ordered := slices.SortedFunc(maps.Keys(r.keys), func(a, b senderKey) int {
		return cmp.Or(strings.Compare(a.webhook, b.webhook), bytes.Compare(a.hash[:], b.hash[:]))
	})
	for _, key := range ordered {
		c, holder := r.next(keysTable), r.keys[key]
		c[0].text(key.webhook)
		c[1].bytes(key.hash[:])
		c[2].bytes(holder.Body[:])
		c[3].id(holder.By)
		if holder.Original == ([32]byte{}) {
			c[4].null()
		} else {
			c[4].bytes(holder.Original[:])
		}
	}
}

func (r *rows) addOutcome(item applier.Item, s decision) {
	d, f := item.Delivery, s.Failure
	if f == nil {
		f = &delivery.Failure{}
	}
	community, name, version := "", "", 0
	if item.Webhook != nil {
		community, name, version = item.Webhook.Community, item.Webhook.Name, item.Webhook.Version
	}
	sum := sha256.Sum256(d.Body)
	c := r.next(outcomesTable)
	c[0].id(d.ID)
	c[1].text(nameText(community))
	c[2].text(nameText(d.WebhookID))
	c[3].text(name)
	c[4].int(int64(version))
	c[5].text(string(s.Status))
	c[6].textOrNull(string(s.Outcome))
	c[7].textOrNull(string(f.Reason))
	c[8].textOrNull(f.Detail)
	c[9].textOrNull(f.Path)
	c[10].idOrNull(s.User)
	c[11].bytes(sum[:])
	c[12].int(int64(s.place.Sequence))
	c[13].int(int64(s.place.Index))
	c[14].int(int64(d.Attempt))
	c[15].time(d.ReceivedAt)
	c[16].idOrNull(s.DuplicateOf)
	c[17].int(s.place.Epoch)
	c[18].int(int64(len(s.Entries)))
}

func (r *rows) addLog(item applier.Item, ordinal int, e ledger.Entry) {
	if r.touched == nil {
		r.touched = map[ledger.Account]struct{}{}
	}
	r.touched[e.Account] = struct{}{}
	c := r.next(logsTable)
	c[0].id(item.Delivery.ID)
	c[1].int(int64(ordinal))
	c[2].id(e.User)
	c[3].text(e.Currency)
	c[4].int(e.Number)
	c[5].text(string(e.Operator))
	c[6].int(e.Amount)
	c[7].int(e.Balance)
	c[8].text(nameText(item.Delivery.WebhookID))
	c[9].text(item.Webhook.Name)
}

func (r *rows) addField(item applier.Item, ordinal int, user delivery.ID, f applier.FieldChange, at ledger.Place) {
	d := item.Delivery
	c := r.next(fieldHistoryTable)
	c[0].id(d.ID)
	c[1].int(int64(ordinal))
	c[2].id(user)
	c[3].text(f.Field)
	c[4].text(f.Value)
	c[5].int(at.Epoch)
	c[6].int(int64(at.Sequence))
	c[7].int(int64(at.Index))
	c[8].text(nameText(d.WebhookID))
	c[9].text(item.Webhook.Name)
	if r.values == nil {
		r.values = map[userField]ledger.FieldValue{}
	}
	key, v := userField{user, f.Field}, ledger.FieldValue{Text: f.Value, By: d.ID, At: at}
	if old, ok := r.values[key]; !ok || old.Before(v) {
		r.values[key] = v
	}
}

func (r *rows) addBalance(account ledger.Account, b ledger.Balance) {
	c := r.next(balancesTable)
	c[0].id(account.User)
	c[1].text(account.Currency)
	c[2].int(b.Amount)
	c[3].int(b.Entries)
}

func (r *rows) addDeadLetter(item applier.Item, s decision) {
	d := item.Delivery
	c := r.next(deadLettersTable)
	c[0].id(d.ID)
	c[1].text(headersJSON(d.Headers))
	c[2].bytes(d.Body)
	by, key := missingUser(item, s.Failure)
	c[3].textOrNull(by)
	c[4].textOrNull(key)
	c[8].text(nameText(d.WebhookID))
	if key := item.Plan.Key; key != nil {
		c[9].bytes(key.Hash[:])
		c[10].bytes(key.Body[:])
	} else {
		c[9].null()
		c[10].null()
	}
	c[11].timeOrNull(s.first.StoredAt)
	if s.first == s.place {
		c[5].null()
		c[6].null()
		c[7].null()
		return
	}
	c[5].int(s.first.Epoch)
	c[6].int(int64(s.first.Sequence))
	c[7].int(int64(s.first.Index))
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
