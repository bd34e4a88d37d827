package console

import (
	"crypto/rand"
	"slices"
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
	all []seenPlan // the newest last
}

// seenPlan is a plan with the choices that it was made for, and who saw it.
type seenPlan struct {
	name    string
	plan    any
	choices string
	account string
	at      time.Time
}

// put keeps a plan and returns its name.
func (p *plans) put(c *request, plan any, choices string) (name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name = rand.Text()
	p.all = append(p.all, seenPlan{name, plan, choices, c.session.Account, time.Now()})
	if len(p.all) > plansKept {
		p.all = slices.Delete(p.all, 0, 1)
	}
	return name
}

// take returns the plan that the form of this person names, once, and nil if it is
// not there any more or was made for other choices.
func (p *plans) take(c *request, choices string) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := c.FormValue("seen")
	i := slices.IndexFunc(p.all, func(one seenPlan) bool {
		return one.name == name && one.account == c.session.Account && one.choices == choices && time.Since(one.at) <= planFor
	})
	if i < 0 {
		return nil
	}
	plan := p.all[i].plan
	p.all = slices.Delete(p.all, i, i+1)
	return plan
}

// notSeen is what a page says that was to run a plan which nobody saw.
const notSeen = "This is not the plan that you saw: you chose something else, or it was too long ago. Here is the current plan."
