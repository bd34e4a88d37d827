package console

import (
	"crypto/rand"
	"sync"
	"time"
)

// Plans that are shown. Only the plan that was shown can be run. The form carries its
// name; the other fields of the form must match those that the plan was made for.
const (
	plansKept = 32
	planFor   = 15 * time.Minute
)

type plans struct {
	mu  sync.Mutex
	all map[string]seenPlan
}

// seenPlan is a plan with the choices that it was made for, and who saw it.
type seenPlan struct {
	plan    any
	choices string
	account string
	at      time.Time
}

// put keeps a plan and returns its name.
func (p *plans) put(c *request, plan any, choices string) (name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]seenPlan{}
	}
	for len(p.all) >= plansKept {
		oldest := ""
		for other, one := range p.all {
			if oldest == "" || one.at.Before(p.all[oldest].at) {
				oldest = other
			}
		}
		delete(p.all, oldest)
	}
	name = rand.Text()
	p.all[name] = seenPlan{plan, choices, c.session.Account, time.Now()}
	return name
}

// take returns the plan that the form of this person names, once, and nil if it is
// not there any more or was made for other choices.
func (p *plans) take(c *request, choices string) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := c.FormValue("seen")
	one, ok := p.all[name]
	if !ok || one.account != c.session.Account || one.choices != choices || time.Since(one.at) > planFor {
		return nil
	}
	delete(p.all, name)
	return one.plan
}

// notSeen is what a page says that was to run a plan which nobody saw.
const notSeen = "This is not the plan that you saw: you chose something else, or it was too long ago. Here is the plan as of now."
