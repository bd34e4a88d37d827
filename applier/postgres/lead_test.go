package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// silence is how long a leader may say nothing: a busy machine is silent for less.
const silence = 2 * time.Second

// A leader that is frozen keeps its connection, and its kernel answers for it. The
// database gives the lead to another. One that rests keeps it.
func TestALeaderThatSaysNothingLosesTheLead(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	one, two := openSettling(t, url), openSettling(t, url)
	one.SetLeadSilence(silence)
	first := mustLead(t, one)
	defer first.Close()

	first.Rest(t.Context(), 3*silence)
	if err := first.Check(t.Context()); err != nil {
		t.Fatalf("one that rested lost the lead: %v", err)
	}
	if lead, err := two.Lead(t.Context(), postgres.LateUsers); err != nil || lead != nil {
		t.Fatalf("two have the lead: %v", err)
	}

	var second *postgres.Lead
	eventually(t, func() (err error) { // the first one says nothing
		if second, err = two.Lead(t.Context(), postgres.LateUsers); err == nil && second == nil {
			err = errors.New("the lead is still the frozen one's")
		}
		return err
	})
	defer second.Close()
	if err := first.Check(t.Context()); err == nil {
		t.Error("the frozen one goes on")
	}
}

// A leader keeps the lead during a turn that takes longer than a leader may be
// silent. If it loses the lead nevertheless, its turn is cancelled.
func TestALeaderKeepsTheLeadDuringATurn(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	one, two := openSettling(t, url), openSettling(t, url)
	one.SetLeadSilence(silence)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := jobs.Job{
		Store: one, Lead: postgres.AuditLedger, Every: time.Millisecond, What: "test", Log: zerolog.Nop(),
		Turn: func(turn context.Context, _ *postgres.Lead) (time.Duration, error) {
			defer cancel()
			for end := time.Now().Add(3 * silence); time.Now().Before(end); {
				if lead, err := two.Lead(turn, postgres.AuditLedger); err != nil || lead != nil {
					t.Errorf("during a turn another one has the lead: %v", err)
					return 0, nil
				}
				<-time.After(10 * time.Millisecond) // the server has other tests, too
			}
			err := two.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
			if err != nil {
				t.Error(err)
			}
			select {
			case <-turn.Done():
			case <-time.After(30 * time.Second):
				t.Error("it goes on without the lead")
			}
			return 0, nil
		},
	}.Run(ctx)
	if err != nil {
		t.Error(err)
	}
}
