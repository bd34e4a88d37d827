package cli

import (
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
)

type dlqWatchCmd struct {
	dlqFilterFlags
}

const (
	// watchEvery is how soon a dead letter is seen.
	watchEvery = time.Second
	// watchOverlap is longer than a transaction of ours may take.
	watchOverlap = time.Minute
)

func (c *dlqWatchCmd) Run(a *app) error {
	if c.Until != nil {
		return usagef("--until cannot be used with watch: end it with Ctrl-C")
	}
	f, letters, err := c.open(a)
	if err != nil {
		return err
	}
	watcher := deadletter.Watcher{
		Filter: f, Since: f.Since, Every: watchEvery, Overlap: watchOverlap, Print: a.printDeadLetter,
		Away: func(err error) { a.say("Waiting for the database: %s.", err) },
		Back: func() { a.say("The database answers again.") },
	}
	watcher.Filter.Since = time.Time{} // what counts here is when they failed
	return letters.Watch(a.ctx, watcher)
}

// printDeadLetter writes one line, for people or for programs.
func (a *app) printDeadLetter(d admin.Letter) error {
	if a.json() {
		text, err := encodeJSON(d, "", "")
		if err != nil {
			return err
		}
		_, err = a.Stdout.Write(text)
		return err
	}
	what := string(*d.Reason)
	if d.Path != nil {
		what += " at " + *d.Path
	}
	if user := deadLetterUser(d); user != "" {
		what += ", " + user
	}
	_, err := fmt.Fprintf(a.Stdout, "%s  %s  %-20s  %s\n", localTime(d.FailedAt), d.ID, printable(webhookName(d)), printable(what))
	return err
}
