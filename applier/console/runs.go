package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// runsKept is how many runs that have ended are remembered.
const runsKept = 50

// runs are replays in the background, because a replay of many takes longer than anybody
// stays on a page. They end in good order with the console.
type runs struct {
	ctx   context.Context // ends with the console
	close context.CancelFunc
	group sync.WaitGroup

	mu  sync.Mutex
	all []*run // the newest last
}

// run is one of them. report says what it does.
type run struct {
	mu  sync.Mutex
	now runView
}

// runView is a run at one moment.
type runView struct {
	ID           delivery.ID
	What         string // such as "Replay of 120 dead letters"
	By           string
	Back         string // the address that it was begun from
	Began, Ended time.Time
	Text, Failed string
	Done, Total  int
	// Left is how many dead letters failed again, LeftAt the address of these.
	Left   int
	LeftAt string
}

// HasEnded reports whether it does nothing any more.
func (v runView) HasEnded() bool { return !v.Ended.IsZero() }

// isShownTo: a run says how many dead letters it is about, of all communities together.
func (v runView) isShownTo(c *request) bool {
	return v.By == c.session.Account || admin.SeesAll(c.ctx())
}

func newRuns() *runs {
	r := &runs{}
	r.ctx, r.close = context.WithCancel(context.Background())
	return r
}

// stop ends all runs, and waits for them.
func (r *runs) stop() {
	r.close()
	r.group.Wait()
}

// begin starts f for who asks. It ends soon after its context does. f says on the run how far it is.
func (r *runs) begin(c *request, id delivery.ID, what, back string, f func(ctx context.Context, one *run) (result string, err error)) *run {
	one := &run{now: runView{ID: id, What: what, By: c.session.Account, Began: time.Now().UTC(), Back: back}}
	r.mu.Lock()
	r.all = append(r.all, one)
	tooMany := len(r.all) - runsKept
	r.all = slices.DeleteFunc(r.all, func(old *run) bool {
		goes := tooMany > 0 && old.view().HasEnded()
		if goes {
			tooMany--
		}
		return goes
	})
	r.mu.Unlock()
	ctx := admin.Carry(r.ctx, c.ctx())
	r.group.Go(func() {
		text, err := f(ctx, one)
		one.end(text, err)
	})
	return one
}

func (r *runs) find(c *request, id string) (one runView, ok bool) {
	all := r.list(c)
	i := slices.IndexFunc(all, func(v runView) bool { return v.ID.String() == id })
	if i < 0 {
		return one, false
	}
	return all[i], true
}

// list returns all there are, the newest first.
func (r *runs) list(c *request) []runView {
	r.mu.Lock()
	defer r.mu.Unlock()
	var views []runView
	for _, one := range slices.Backward(r.all) {
		if v := one.view(); v.isShownTo(c) {
			views = append(views, v)
		}
	}
	return views
}

func (r *run) report(done, total int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Done, r.now.Total, r.now.Text = done, total, text
}

// leave says what is still a dead letter.
func (r *run) leave(n int, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Left, r.now.LeftAt = n, address
}

func (r *run) end(text string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Ended, r.now.Text = time.Now().UTC(), text
	if err != nil {
		r.now.Failed = history.NameAway(err).Error()
	}
}

func (r *run) view() runView {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// run shows how far a run is; the page looks again every second until it has
// ended.
func (s *Console) run(c *request) error {
	one, ok := s.runs.find(c, c.Param("id"))
	if !ok {
		return failf(http.StatusNotFound, "The console does not know this run: the console was restarted, or the run ended long ago. "+
			"Replayed deliveries are in the histories. The same action continues an interrupted replay.")
	}
	return c.page("run", one.What, one)
}

// interruptedText says what an interrupted run means for who began it.
func interruptedText(err, interrupted error) string {
	if errors.Is(err, interrupted) {
		return " The console was stopped meanwhile; the same action continues the replay."
	}
	return ""
}
