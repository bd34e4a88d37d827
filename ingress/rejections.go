package ingress

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/rejection"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	// rejectionsPerSecond is how many rejections of a webhook an ingress notes a second.
	rejectionsPerSecond = 10
	// The broker keeps 100 notes of a webhook. An ingress that writes rejectionsBurst of
	// them and one each rejectionsEvery fills these in an hour at the earliest. The counts
	// of the last hour are then complete, however many requests were refused.
	rejectionsBurst = 40
	rejectionsEvery = time.Minute
	// rejectionsQueue bounds the notes that wait for the broker.
	rejectionsQueue = 256
	// maxNotedHeaders and maxNotedCause bound the bytes of a note.
	maxNotedHeaders = 2 << 10
	maxNotedCause   = 512
	maxNotedMethod  = 16
)

// NoteStore keeps notes. It returns nil once the broker has confirmed.
type NoteStore interface {
	StoreRejection(ctx context.Context, webhookID string, n rejection.Note) error
}

// Rejections notes requests that were refused. It never blocks a request: refusals
// beyond its pace or its queue are only counted, and the next note carries the counts.
type Rejections struct {
	store NoteStore
	now   func() time.Time
	queue chan queuedNote

	mu  sync.Mutex
	all map[string]*tally // by webhook; only of webhooks that exist
}

type queuedNote struct {
	webhookID string
	note      rejection.Note
}

// tally is what an ingress knows of one webhook's rejections.
type tally struct {
	second time.Time // in which inSecond notes were made
	made   int
	full   time.Time // when all of the burst may be used again
	counts map[string]int64
	// held is the first of those that are only counted so far.
	held *rejection.Rejection
}

// NewRejections returns rejections. Run has to be running for notes to be stored.
func NewRejections(store NoteStore, now func() time.Time) *Rejections {
	return &Rejections{store: store, now: now, queue: make(chan queuedNote, rejectionsQueue), all: map[string]*tally{}}
}

// Note notes what was answered with a code. read returns the rest of the rejection: it
// is not called for a request that is only counted.
func (r *Rejections) Note(webhookID, code string, read func() rejection.Rejection) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.of(webhookID)
	if !t.mayNote(now) {
		if t.counts[code]++; t.held == nil {
			t.held = rejectionOf(now, code, read)
		}
		return
	}
	r.enqueue(webhookID, t, now, rejectionOf(now, code, read))
}

// of returns the tally of a webhook, under the lock.
func (r *Rejections) of(webhookID string) *tally {
	t := r.all[webhookID]
	if t == nil {
		t = &tally{counts: map[string]int64{}}
		r.all[webhookID] = t
	}
	return t
}

func rejectionOf(now time.Time, code string, read func() rejection.Rejection) *rejection.Rejection {
	one := read()
	one.At, one.Code = now.UTC(), code
	return &one
}

// mayNote reports whether one more note keeps both paces.
func (t *tally) mayNote(now time.Time) bool {
	if t.isFast(now) {
		return false
	}
	return t.full.Sub(now) <= (rejectionsBurst-1)*rejectionsEvery
}

func (t *tally) isFast(now time.Time) bool {
	return now.Sub(t.second) < time.Second && t.made >= rejectionsPerSecond
}

// spend counts a note.
func (t *tally) spend(now time.Time) {
	if now.Sub(t.second) >= time.Second {
		t.second, t.made = now, 0
	}
	t.made++
	if t.full.Before(now) {
		t.full = now
	}
	t.full = t.full.Add(rejectionsEvery)
}

// enqueue hands a note on, with the counts. A full queue leaves it counted.
func (r *Rejections) enqueue(webhookID string, t *tally, now time.Time, one *rejection.Rejection) {
	note := rejection.Note{Rejection: *one}
	if len(t.counts) > 0 {
		note.Counted = maps.Clone(t.counts)
	}
	select {
	case r.queue <- queuedNote{webhookID, note}:
		t.spend(now)
		clear(t.counts)
		t.held = nil
	default:
		if t.counts[one.Code]++; t.held == nil {
			t.held = one
		}
	}
}

const (
	// flushEvery is how often rejections that were only counted are looked at.
	flushEvery = time.Second
	// storeWithin bounds one attempt to store a note.
	storeWithin = 2 * time.Second
	// flushDebt is how many notes beyond the burst may carry counts once no more requests
	// are refused: an admin is not to wait for them.
	flushDebt = 20
)

// Run stores notes until ctx is done.
func (r *Rejections) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.finish()
		case <-tick.C:
			r.flush()
		case q := <-r.queue:
			r.send(ctx, q)
		}
	}
}

// finish stores what is left, as far as that is soon done.
func (r *Rejections) finish() error {
	ctx, cancel := context.WithTimeout(context.Background(), storeWithin)
	defer cancel()
	r.flush()
	for {
		select {
		case q := <-r.queue:
			r.send(ctx, q)
		default:
			return nil
		}
	}
}

// send stores a note. One that cannot be stored becomes counts again.
func (r *Rejections) send(ctx context.Context, q queuedNote) {
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	if r.store.StoreRejection(ctx, q.webhookID, q.note) == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.of(q.webhookID)
	q.note.Count(t.counts)
	t.held, t.full = &q.note.Rejection, t.full.Add(-rejectionsEvery)
}

// flush makes notes of what was only counted, where the pace allows it, and forgets
// webhooks of which nothing is to be remembered.
func (r *Rejections) flush() {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, t := range r.all {
		switch {
		case t.held == nil && !now.Before(t.full) && now.Sub(t.second) >= time.Second:
			delete(r.all, id)
		case t.held != nil && !t.isFast(now) && t.full.Sub(now) <= (rejectionsBurst+flushDebt-1)*rejectionsEvery:
			one := t.held
			if t.counts[one.Code]--; t.counts[one.Code] <= 0 {
				delete(t.counts, one.Code)
			}
			t.held = nil
			r.enqueue(id, t, now, one)
		}
	}
}

// Refused notes a request to a webhook that exists. Where nobody asks for notes it does
// nothing.
func (r *Receiver) Refused(head Head, refusal *Error, bodyBytes int64) {
	cause := refusal.Cause
	if cause == "" {
		cause = refusal.Detail // it is for the sender, and says nothing that is secret
	}
	r.note(head, string(refusal.Code), cause, bodyBytes)
}

func (r *Receiver) note(head Head, code, cause string, bodyBytes int64) {
	if r.Rejections == nil {
		return
	}
	w, known := r.Definitions.Lookup(head.WebhookID)
	if !known || w == nil || w.DeletedAt != nil || w.IsNewer() || !w.State.Accepts() && w.State != webhook.Draft {
		return
	}
	r.Rejections.Note(w.ID, code, func() rejection.Rejection {
		one := rejection.Rejection{
			Cause: cutText(cause, maxNotedCause), Method: cutText(head.Method, maxNotedMethod),
			Headers: noteHeaders(head.Header, w), BodyBytes: max(bodyBytes, 0),
		}
		if head.Address.IsValid() {
			one.Address = head.Address.String()
		}
		return one
	})
}

// addressHeaders are those of proxies and browsers that repeat a URL. Its query may hold a
// signature.
var addressHeaders = []string{
	"Referer", "Location", "Content-Location", "X-Forwarded-Uri", "X-Forwarded-Url", "X-Original-Uri", "X-Original-Url",
	"X-Rewrite-Url", "X-Request-Uri", "X-Envoy-Original-Path",
}

// secretMarks begin secrets, in lower case, that senders may put into a header where they do not belong.
var secretMarks = []string{"chk_", "whsec_", "wh_", "bearer ", "basic "}

// hiddenValue stands for a value that looks like a secret.
const hiddenValue = "(hidden)"

// noteHeaders are the headers of a request as a delivery has them, with less room and
// without what looks like a secret: the request may have failed because of that place.
func noteHeaders(h http.Header, w *webhook.Webhook) []delivery.Header {
	kept := slices.Clone(keepHeaders(h, w, ""))
	room := maxNotedHeaders
	for i := range kept {
		kept[i].Value = noteValue(kept[i])
		if room -= len(kept[i].Name) + len(kept[i].Value); room < 0 {
			return kept[:i]
		}
	}
	return kept
}

func noteValue(h delivery.Header) string {
	lower := strings.ToLower(h.Value)
	if slices.ContainsFunc(secretMarks, func(mark string) bool { return strings.Contains(lower, mark) }) {
		return hiddenValue
	}
	if slices.Contains(addressHeaders, h.Name) {
		h.Value, _, _ = strings.Cut(h.Value, "?")
	}
	return h.Value
}

// cutText bounds a text, between characters.
func cutText(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	return strings.ToValidUTF8(text, "")
}
