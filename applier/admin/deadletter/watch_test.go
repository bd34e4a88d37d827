package deadletter_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// watch is a watcher at work. What it prints comes out of printed.
type watch struct {
	t       *testing.T
	printed chan admin.Letter
	away    chan error
	back    chan struct{}
	stop    func() error
}

func startWatch(t *testing.T, s *postgres.Store, change ...func(*deadletter.Watcher)) *watch {
	t.Helper()
	w := &watch{t: t, printed: make(chan admin.Letter, 100), away: make(chan error, 100), back: make(chan struct{}, 100)}
	watcher := deadletter.Watcher{
		Store: s, Every: 5 * time.Millisecond, Overlap: time.Minute,
		Print: func(d admin.Letter) error {
			w.printed <- d
			return nil
		},
		Away: func(err error) { w.away <- err },
		Back: func() { w.back <- struct{}{} },
	}
	for _, f := range change {
		f(&watcher)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- watcher.Run(ctx) }()
	w.stop = func() error {
		cancel()
		return <-done
	}
	t.Cleanup(cancel)
	return w
}

// next waits for the next dead letter that is printed.
func (w *watch) next() admin.Letter {
	w.t.Helper()
	return receive(w.t, w.printed)
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// letterNow fails by the database's clock.
func letterNow(t *testing.T, s *postgres.Store, change ...func(*postgres.FullDeadLetter)) postgres.FullDeadLetter {
	t.Helper()
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return newLetter(append([]func(*postgres.FullDeadLetter){func(d *postgres.FullDeadLetter) { d.FailedAt = now }}, change...)...)
}

func TestAWatchPrintsWhatComesOnce(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	bring(t, s, letterNow(t, s)) // there already
	w := startWatch(t, s, func(w *deadletter.Watcher) { w.Filter.Text = "watched" })
	isWatched := func(d *postgres.FullDeadLetter) { d.Detail = new("This one is watched.") }

	// Until it has begun what comes is passed over.
	for begun := false; !begun; {
		bring(t, s, letterNow(t, s, isWatched))
		select {
		case <-w.printed:
			begun = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	other, second := letterNow(t, s), letterNow(t, s, isWatched)
	bring(t, s, other, second)
	for d := w.next(); d.ID != second.ID; d = w.next() {
		if *d.Detail != "This one is watched." {
			t.Errorf("printed %+v", d)
		}
	}
	execute(t, db, "UPDATE dead_letters SET failed_at = clock_timestamp() WHERE delivery_id = $1", second.ID.String())
	if again := w.next(); again.ID != second.ID || !again.FailedAt.After(second.FailedAt) {
		t.Errorf("one that failed again is printed as %+v", again)
	}
	third := letterNow(t, s, isWatched)
	bring(t, s, third)
	if d := w.next(); d.ID != third.ID {
		t.Errorf("printed twice, or what is not asked for: %+v", d)
	}
	if err := w.stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestAWatchSince(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var letters []postgres.FullDeadLetter
	for i := range 2500 { // more than two pages
		letters = append(letters, newLetter(func(d *postgres.FullDeadLetter) { d.FailedAt = now.Add(time.Duration(i-2500) * time.Second) }))
	}
	bring(t, s, letters...)
	w := startWatch(t, s, func(w *deadletter.Watcher) { w.Since = letters[100].FailedAt })
	var got, want []delivery.ID
	for i := range letters[100:] {
		got, want = append(got, w.next().ID), append(want, letters[100+i].ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	last := letterNow(t, s)
	bring(t, s, last)
	if d := w.next(); d.ID != last.ID {
		t.Errorf("printed %s after what was there, want %s", d.ID, last.ID)
	}
}

// Its time was taken before that of one that is printed already.
func TestAWatchSeesATransactionThatCommitsLate(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late := letterNow(t, s)
	bring(t, s, late)
	w := startWatch(t, s, func(w *deadletter.Watcher) { w.Since = now })
	if d := w.next(); d.ID != late.ID {
		t.Fatalf("printed %s", d.ID)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE dead_letters SET failed_at = clock_timestamp()"); err != nil {
		t.Fatal(err)
	}
	early := letterNow(t, s)
	bring(t, s, early)
	if d := w.next(); d.ID != early.ID {
		t.Fatalf("printed %s", d.ID)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if d := w.next(); d.ID != late.ID || !d.FailedAt.Before(early.FailedAt) {
		t.Errorf("printed %+v", d)
	}
}

func TestAWatchOutlivesTheDatabase(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	s, err := postgres.Open(dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // the database goes with the test
	admin, name := openBeside(t, dsn)
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := startWatch(t, s, func(w *deadletter.Watcher) { w.Since = now })
	first, second := letterNow(t, s), letterNow(t, s)
	bring(t, s, first)
	if d := w.next(); d.ID != first.ID {
		t.Fatalf("printed %s", d.ID)
	}
	execute(t, admin, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false")
	execute(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
	if err := receive(t, w.away); err == nil {
		t.Error("away without a word")
	}
	execute(t, admin, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS true")
	receive(t, w.back)
	bring(t, s, second)
	if d := w.next(); d.ID != second.ID {
		t.Errorf("printed %s after the database was back, want %s", d.ID, second.ID)
	}
	if n := len(w.away); n != 0 {
		t.Errorf("said %d times more", n)
	}
}

// openBeside opens the server's own database.
func openBeside(t *testing.T, dsn string) (db *sql.DB, name string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name = strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	db, err = sql.Open("postgres", u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) // nothing was left open
	return db, name
}

func TestAWatchEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	letter := letterNow(t, s)
	bring(t, s, letter)
	broken := errors.New("broken pipe")
	watcher := deadletter.Watcher{
		Store: s, Since: letter.FailedAt, Every: time.Hour, Overlap: time.Minute,
		Print: func(admin.Letter) error { return broken },
	}
	if err := watcher.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("ended with %v", err)
	}
}
