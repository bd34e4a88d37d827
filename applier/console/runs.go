package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
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
	ID    delivery.ID
	What  string // such as "Replay of 120 dead letters"
	By    string
	Began time.Time
	Back  string // the address that it was begun from

	mu     sync.Mutex
	text   string
	done   int
	total  int
	ended  time.Time
	failed string
	left   int    // failed again
	leftAt string // the address of these
}

// runView is a run at one moment.
type runView struct {
	ID                delivery.ID
	What, By, Back    string
	Began, Ended      time.Time
	Text, Failed      string
	Done, Total       int
	HasEnded, IsGoing bool
	// Left is how many dead letters failed again, LeftAt the address of these.
	Left   int
	LeftAt string
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
	one := &run{ID: id, What: what, By: c.session.Account, Began: time.Now().UTC(), Back: back}
	r.mu.Lock()
	r.all = append(r.all, one)
	tooMany := len(r.all) - runsKept
	r.all = slices.DeleteFunc(r.all, func(old *run) bool {
		goes := tooMany > 0 && old.view().HasEnded
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

// isShownTo: a run says how many dead letters it is about, of all communities together.
func (r *run) isShownTo(c *request) bool {
	return r.By == c.session.Account || admin.SeesAll(c.ctx())
}

func (r *runs) find(c *request, id string) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		if one.ID.String() == id && one.isShownTo(c) {
			return one
		}
	}
	return nil
}

// list returns all there are, the newest first.
func (r *runs) list(c *request) []runView {
	r.mu.Lock()
	defer r.mu.Unlock()
	var views []runView
	for _, one := range slices.Backward(r.all) {
		if one.isShownTo(c) {
			views = append(views, one.view())
		}
	}
	return views
}

func (r *run) report(done, total int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done, r.total, r.text = done, total, text
}

// leave says what is still a dead letter.
func (r *run) leave(n int, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.leftAt = n, address
}

func (r *run) end(text string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.text = time.Now().UTC(), text
	if err != nil {
		r.failed = err.Error()
	}
}

func (r *run) view() runView {
	r.mu.Lock()
	defer r.mu.Unlock()
	return runView{
		ID: r.ID, What: r.What, By: r.By, Back: r.Back, Began: r.Began, Ended: r.ended, Text: r.text, Failed: r.failed,
		Done: r.done, Total: r.total, HasEnded: !r.ended.IsZero(), IsGoing: r.ended.IsZero(), Left: r.left, LeftAt: r.leftAt,
	}
}

// run shows how far a run is; the page looks again every second until it has
// ended.
func (s *Console) run(c *request) error {
	one := s.runs.find(c, c.Param("id"))
	if one == nil {
		return failf(http.StatusNotFound, "The console does not know this run: the console was restarted, or the run ended long ago. "+
			"Replayed deliveries are in the histories. The same action continues an interrupted replay.")
	}
	return c.page("run", one.What, one.view())
}

// interruptedText says what an interrupted run means for who began it.
func interruptedText(err error, is ...error) string {
	for _, known := range is {
		if errors.Is(err, known) {
			return " The console was stopped meanwhile; the same action goes on from there."
		}
	}
	return ""
}
