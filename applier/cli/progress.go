package cli

import (
	"fmt"
	"time"
)

// progressLine is one line on a terminal that is written again and again.
type progressLine struct {
	a     *app
	size  int64 // of the file, 0 where it is not known
	shown time.Time
}

// progressEvery is as often as a person can read it.
const progressEvery = 200 * time.Millisecond

// show writes the line again, with how much of the file that offset is.
func (l *progressLine) show(offset int64, format string, args ...any) {
	if !l.a.Terminal || time.Since(l.shown) < progressEvery {
		return
	}
	l.shown = time.Now()
	percent := ""
	if l.size > 0 {
		percent = fmt.Sprintf("%3d %%  ", min(offset*100/l.size, 100))
	}
	fmt.Fprintf(l.a.Stderr, "\r\x1b[K%s%s", percent, fmt.Sprintf(format, args...))
}

func (l *progressLine) clear() {
	if l.a.Terminal {
		fmt.Fprint(l.a.Stderr, "\r\x1b[K")
	}
}
