package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/cluster"
)

var repository = filepath.Join("..", "..", "..")

// earlyAck moves the floor of a partition before the deliveries are settled.
var earlyAck = Patch{
	File: "pkg/broker/feed.go",
	Old: `left: deliveries}
	f.open = append(f.open, r)
	if deliveries == 0 {
`,
	New: `}
	f.open = append(f.open, r)
	if deliveries >= 0 {
`,
}

// noLock reads users without a lock: two transactions change one balance at the same
// time. The lock alone is not missed: one owner settles a user, in one lane, which is the
// partition's while it has little work; the number of each log is unique in its account,
// and a balance does not go back. So these go, too.
// The pause makes two transactions meet within seconds.
var noLock = []Patch{
	{File: "applier/engine/partition.go", Old: "case now.Sub(p.wasBusy) >= lately:", New: "case now.IsZero():"},
	{
		File: "applier/engine/partition.go",
		Old:  "lane := int(binary.BigEndian.Uint64(users[i][8:]) % uint64(len(shares)))",
		New:  "lane := int((uint64(time.Now().UnixMicro()) + binary.BigEndian.Uint64(users[i][8:])&0) % uint64(len(shares)))",
	},
	{File: "applier/postgres/settle_users.go", Old: `usersQuery(kinds, "FOR NO KEY UPDATE SKIP LOCKED")`, New: `usersQuery(kinds, "OFFSET 0")`},
	{
		File: "applier/postgres/migrations/00008_growth.sql",
		Old:  "CREATE UNIQUE INDEX gamification_logs_account ON", New: "CREATE INDEX gamification_logs_account ON",
	},
	{
		File: "applier/postgres/settle.go",
		Old:  "\tif err := w.decide(); err != nil {\n", New: "\ttime.Sleep(100 * time.Millisecond)\n\tif err := w.decide(); err != nil {\n",
	},
	{File: "applier/postgres/settle_write.go", Old: "\t\t\tWHERE balances.entries < excluded.entries`", New: "`"},
}

// idTwice gives two deliveries in a hundred the same id.
var idTwice = Patch{
	File: "pkg/delivery/delivery.go",
	Old:  "func NewID() ID {\n",
	New: `var again, made = atomic.Int64{}, atomic.Pointer[ID]{}

func NewID() ID {
	if id := made.Load(); id != nil && again.Add(1)%100 == 0 {
		return *id
	}
	id := newID()
	made.Store(&id)
	return id
}

func newID() ID {
`,
}

// The checks are worth what they catch: each build but one has a fault planted,
// and only that one passes.
func TestAPlantedFaultIsCaught(t *testing.T) {
	if os.Getenv("COINHOOK_FAULTS_CHECK") == "" {
		t.Skip("it builds the programs several times: make faults-check runs it")
	}
	for _, test := range []struct {
		name    string
		patches []Patch
		kind    kind
		want    string // the kind of a finding; none is wanted when it is empty
	}{
		{name: "none", kind: killInTransaction},
		{name: "an_ack_before_COMMIT", patches: []Patch{earlyAck}, kind: killInTransaction, want: "lost"},
		{name: "a_missing_lock", patches: noLock, kind: rush, want: "balance"},
		{name: "an_id_that_is_made_twice", patches: []Patch{idTwice}, kind: rush, want: "twice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			findings := playPlanted(t, test.kind, test.patches)
			caught := false
			for i, f := range findings {
				caught = caught || f.Kind == test.want
				if i < 5 {
					t.Logf("found %s: %s", f.Kind, f.Detail)
				}
			}
			switch {
			case test.want == "" && len(findings) > 0:
				t.Errorf("%d findings without a planted fault", len(findings))
			case test.want != "" && !caught:
				t.Errorf("%d findings, of which none is %q", len(findings), test.want)
			}
		})
	}
}

// killInTransaction kills the appliers while their transactions wait.
var killInTransaction = kind{name: "killed in a transaction", inject: func(ctx context.Context, r *round) error {
	if err := errors.Join(r.pause(r.Primary()), sleep(ctx, time.Second), r.kill(r.Appliers()...)); err != nil {
		return err
	}
	return r.Resume(r.Primary())
}}

// rush only sends.
var rush = kind{name: "no fault", inject: func(ctx context.Context, _ *round) error { return sleep(ctx, 5*time.Second) }}

// playPlanted plays one round with a build that has the patches.
func playPlanted(t *testing.T, k kind, patches []Patch) []Finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	dir, err := os.MkdirTemp("", "coinhook-planted-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin := filepath.Join(dir, "bin")
	if err := errors.Join(os.Chmod(dir, 0o755), Build(ctx, repository, bin, patches...)); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(ctx, cluster.Options{
		Replicas: 1, Ingresses: 1, Appliers: 2, BinDir: bin, Dir: dir, Fast: true, Env: []string{"AUDIT_INTERVAL=1s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w, err := openWorld(ctx, c, 300)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	w.scaled = 2
	round, err := w.run(ctx, rand.New(rand.NewPCG(1, 1)), Round{Seed: 1}, []kind{k})
	if err != nil {
		t.Fatal(err)
	}
	if round.Accepted == 0 {
		t.Error("nothing was accepted: the round shows nothing")
	}
	return round.Findings
}

// A patch that does not fit any more is an error, and no build without a fault.
func TestBuildWantsItsPatchesToFit(t *testing.T) {
	t.Parallel()
	for _, patch := range append([]Patch{earlyAck, idTwice}, noLock...) {
		if _, err := writeOverlay(t.Context(), repository, t.TempDir(), []Patch{patch}); err != nil {
			t.Error(err)
		}
	}
	if _, err := writeOverlay(t.Context(), repository, t.TempDir(), []Patch{{File: "pkg/broker/feed.go", Old: "no such text"}}); err == nil {
		t.Error("a patch whose text is not there is taken")
	}
}
