package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// answer is what one attempt at a request got.
type answer struct {
	// status is 0 when there was no answer.
	status int
	// id is that of a 202.
	id string
	at time.Time
}

// request is one event of a sender: its number is in the body as the amount, and
// so in the gamification log. No number is used twice.
type request struct {
	number int64
	user   int
	// keyed requests carry an Idempotency-Key, and are sent again after a 503 or no
	// answer, until they are accepted. All others are sent once.
	keyed bool
	// late requests name a user who is added after they were accepted.
	late    string
	answers []answer
}

// accepted reports whether any attempt was answered 202.
func (r *request) accepted() bool {
	return slices.ContainsFunc(r.answers, func(a answer) bool { return a.status == http.StatusAccepted })
}

// last is the status of the last attempt.
func (r *request) last() int {
	if len(r.answers) == 0 {
		return 0
	}
	return r.answers[len(r.answers)-1].status
}

const (
	// users share the deliveries.
	users = 20
	// keyedEvery is how often a request has an Idempotency-Key.
	keyedEvery = 5
	// unansweredAfter is when a sender gives an attempt up; an ingress answers within
	// PUBLISH_TIMEOUT, 5 s.
	unansweredAfter = 8 * time.Second
	// resendAfter is the pause before a keyed request is sent again, resendFor the
	// time for that after the round's sending has ended.
	resendAfter = 300 * time.Millisecond
	resendFor   = 20 * time.Second
)

func userName(i int) string { return "user-" + strconv.Itoa(i) }

// traffic sends at a fixed rate, whatever the answers, and remembers them all.
type traffic struct {
	client    *http.Client
	ingresses []string // URLs
	path      string
	apiKey    string
	rate      int // per second and ingress
	hushed    atomic.Bool
	inFlight  atomic.Int64

	mu       sync.Mutex
	number   int64
	requests []*request
	accepts  map[string]time.Time // the last 202 of each ingress
	times    []time.Time          // of all 202s

	sending sync.WaitGroup
	waiting sync.WaitGroup
	stop    context.CancelFunc
	giveUp  context.CancelFunc
}

// start begins to send.
func (t *traffic) start(parent context.Context) {
	sending, stop := context.WithCancel(parent)
	waiting, giveUp := context.WithCancel(parent)
	t.stop, t.giveUp = stop, giveUp
	t.mu.Lock()
	t.requests, t.times, t.accepts = nil, nil, map[string]time.Time{}
	t.mu.Unlock()
	for i := range t.ingresses {
		t.sending.Go(func() { t.sendTo(sending, waiting, i) })
	}
}

func (t *traffic) sendTo(sending, waiting context.Context, ingress int) {
	tick := time.NewTicker(time.Second / time.Duration(t.rate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if t.hushed.Load() {
				continue
			}
			r := t.next()
			t.waiting.Go(func() { t.send(waiting, r, ingress) })
		case <-sending.Done():
			return
		}
	}
}

func (t *traffic) next() *request {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number++
	r := &request{number: t.number, user: int(t.number % users), keyed: t.number%keyedEvery == 0}
	t.requests = append(t.requests, r)
	return r
}

// send makes the attempts at a request.
func (t *traffic) send(waiting context.Context, r *request, ingress int) {
	t.inFlight.Add(1)
	defer t.inFlight.Add(-1)
	for {
		a := t.attempt(waiting, r, ingress)
		t.note(r, a, t.ingresses[ingress])
		if a.status == http.StatusAccepted || !r.keyed {
			return
		}
		select {
		case <-time.After(resendAfter + rand.N(resendAfter)):
		case <-waiting.Done():
			return
		}
		ingress = rand.IntN(len(t.ingresses)) // as behind a balancer
	}
}

func (t *traffic) note(r *request, a answer, ingress string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.answers = append(r.answers, a)
	if a.status == http.StatusAccepted {
		t.accepts[ingress] = a.at
		t.times = append(t.times, a.at)
	}
}

func (t *traffic) attempt(ctx context.Context, r *request, ingress int) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, unansweredAfter)
	defer cancel()
	user := userName(r.user)
	if r.late != "" {
		user = r.late
	}
	body := fmt.Sprintf(`{"user":%q,"amount":%d}`, user, r.number)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.ingresses[ingress]+t.path, strings.NewReader(body))
	if err != nil {
		return answer{at: time.Now()}
	}
	req.Header.Set("X-Api-Key", t.apiKey)
	if r.keyed {
		req.Header.Set("Idempotency-Key", strconv.FormatInt(r.number, 10))
		// Without it the client itself would send a keyed request again.
		req.GetBody = nil
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return answer{at: time.Now()}
	}
	defer resp.Body.Close()
	var receipt struct{ ID string }
	text, err := io.ReadAll(resp.Body)
	at := time.Now()
	if err != nil || resp.StatusCode == http.StatusAccepted && json.Unmarshal(text, &receipt) != nil {
		return answer{at: at}
	}
	return answer{status: resp.StatusCode, id: receipt.ID, at: at}
}

// sendLate sends one request of a user who does not exist yet.
func (t *traffic) sendLate(ctx context.Context, user string) {
	r := t.next()
	r.late, r.keyed = user, false
	t.waiting.Go(func() { t.send(ctx, r, int(r.number)%len(t.ingresses)) })
}

// acceptsSince reports whether each ingress has accepted after that time.
func (t *traffic) acceptsSince(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, url := range t.ingresses {
		if !t.accepts[url].After(at) {
			return errors.New(url + " does not accept")
		}
	}
	return nil
}

// end stops to send and returns all requests once each has its last answer.
func (t *traffic) end() []*request {
	t.stop()
	t.sending.Wait()
	t.hushed.Store(false)
	timer := time.AfterFunc(resendFor, t.giveUp)
	t.waiting.Wait()
	timer.Stop()
	t.giveUp()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.requests
}

// quiet stops to send for a while and returns once each request has its answer;
// loud goes on.
func (t *traffic) quiet(ctx context.Context) error {
	t.hushed.Store(true)
	// One that has just seen that it may send has begun by then.
	if err := sleep(ctx, 100*time.Millisecond); err != nil {
		return err
	}
	return process.Await(ctx, func(context.Context) error {
		if n := t.inFlight.Load(); n > 0 {
			return fmt.Errorf("%d requests have no answer", n)
		}
		return nil
	})
}

func (t *traffic) loud() { t.hushed.Store(false) }

// longestPause is the longest time without a 202 from start to end.
func (t *traffic) longestPause(start, end time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return longestGap(t.times, start, end)
}

func longestGap(times []time.Time, start, end time.Time) (longest time.Duration) {
	times = slices.Clone(times)
	slices.SortFunc(times, time.Time.Compare)
	last := start
	for _, at := range append(times, end) {
		if at.After(end) {
			at = end
		}
		if at.Before(last) {
			continue
		}
		longest, last = max(longest, at.Sub(last)), at
	}
	return longest
}
