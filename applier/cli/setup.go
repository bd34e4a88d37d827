package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier/admin/setup"
	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/broker"
)

type setupCmd struct {
	Replicas   *int          `placeholder:"N" help:"Copies of each stream in a NATS cluster: 1, 3 or 5. Without it existing streams keep theirs; a first setup makes 1."`
	Partitions *int          `placeholder:"N" help:"Partitions in which deliveries are settled, 1 to 64: at most this many appliers work at a time. Without it the number stays."`
	MaxBytes   *int64        `name:"max-bytes" placeholder:"B" help:"Largest size of the stream of deliveries; 0 is no limit. A full stream refuses requests (503) and drops nothing. Without it the limit stays."`
	MaxAge     *age          `name:"max-age" placeholder:"D" help:"How long samples of drafts are kept, such as 7d. It does not apply to deliveries: see STREAM_RETENTION. Without it the time stays."`
	Check      bool          `help:"Change nothing. Print what a setup with these flags would change, and exit 1 if there is something."`
	Wait       time.Duration `default:"30s" help:"How long to wait for NATS and PostgreSQL to answer."`
}

// errDiffers ends the command with 1: what differs was printed.
var errDiffers = errors.New("it is not set up like this: run `coinhook setup` with the same flags")

// Run waits for both servers: at a first start they may be slower than setup.
func (c *setupCmd) Run(a *app) error {
	topology, err := c.topology()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Wait)
	defer cancel()
	db, err := a.openOwned(wiring.Options{Name: "coinhook", StatementTimeout: time.Hour}) // a migration of a large table takes its time
	if err != nil {
		return err
	}
	tables := db.Setup()
	topology = tables.Topology(topology)
	conn, silent := a.broker()
	if conn == nil { // a setting cannot be used
		return silent
	}
	var plan *broker.Plan
	if err := retry(ctx, func() error { plan, err = conn.PlanSetup(ctx, topology); return err }); err != nil {
		if silent != nil && !conn.Connected() {
			return silent // it says which broker
		}
		return err
	}
	if err := retry(ctx, func() error { return tables.Ping(ctx) }); err != nil {
		return err
	}
	if c.Check {
		return c.check(ctx, a, tables, plan)
	}
	for _, risk := range plan.Risks {
		a.say("%s", risk)
	}
	if len(plan.Risks) > 0 {
		if err := a.confirm("Continue anyway?"); err != nil {
			return err
		}
	}
	// The tables go first: where a consumer begins is in them.
	migrations, err := tables.Migrate(a.ctx)
	if err != nil {
		return err
	}
	if err := a.grantRoles(tables); err != nil {
		return err
	}
	// The question and the migrations may have taken longer than --wait.
	ctx, cancel = context.WithTimeout(a.ctx, c.Wait)
	defer cancel()
	if err := retry(ctx, func() error { return tables.Apply(ctx, conn, topology) }); err != nil {
		return err
	}
	a.trails = db // DATABASE_URL may be of a role that was granted nothing before
	if err := a.record("set up", "installation", "", map[string]any{"words": a.words(), "migrations": migrations}); err != nil {
		return err
	}
	return a.done(map[string]any{"streams": "ready", "tables": "ready", "migrations_applied": migrations}, "Streams, buckets and tables are ready (%d migrations applied).", migrations)
}

// grantRoles gives the services' database roles what they need. A database whose
// roles others manage is set up all the same.
func (a *app) grantRoles(tables *setup.Setup) error {
	err := tables.GrantRoles(a.ctx)
	if errors.Is(err, setup.ErrNotOwner) {
		a.say("The database roles were left as they are: %v. See docs/operate/database-roles.md.", err)
		return nil
	}
	return err
}

// age is a duration that may have days.
type age struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *age) UnmarshalText(text []byte) (err error) {
	if a.Duration, err = parseDuration(string(text)); err != nil {
		return fmt.Errorf("want a duration such as 12h or 7d, not %q", text)
	}
	return nil
}

// topology is what the flags say.
func (c *setupCmd) topology() (t broker.Topology, err error) {
	if c.Replicas != nil {
		switch t.Replicas = *c.Replicas; t.Replicas {
		case 1, 3, 5:
		default:
			return t, usagef("--replicas is 1, 3 or 5, not %d", t.Replicas)
		}
	}
	if c.Partitions != nil {
		if t.Partitions = *c.Partitions; t.Partitions < 1 || t.Partitions > broker.MaxPartitions {
			return t, usagef("--partitions is 1 to %d, not %d", broker.MaxPartitions, t.Partitions)
		}
	}
	if c.MaxBytes != nil {
		if t.MaxBytes = *c.MaxBytes; t.MaxBytes <= 0 {
			t.MaxBytes = broker.NoLimit
		}
	}
	if c.MaxAge != nil {
		if t.SamplesMaxAge = c.MaxAge.Duration; t.SamplesMaxAge < minSamplesAge {
			return t, usagef("--max-age is %s at least, not %s", minSamplesAge, t.SamplesMaxAge)
		}
	}
	return t, nil
}

// minSamplesAge leaves time to draw a mapping from a sample.
const minSamplesAge = time.Minute

// check prints what differs.
func (c *setupCmd) check(ctx context.Context, a *app, tables *setup.Setup, plan *broker.Plan) error {
	more, err := tables.Differences(ctx)
	if err != nil {
		return err
	}
	differences := append(append([]broker.Difference{}, plan.Differences...), more...)
	switch {
	case a.json():
		if err := a.printJSON(map[string]any{"ok": len(differences) == 0, "differences": differences}); err != nil {
			return err
		}
	case len(differences) == 0:
		fmt.Fprintln(a.Stdout, "Streams, buckets and tables are as they should be.")
	default:
		a.printTable([]string{"where", "what", "is", "should be"}, each(differences, func(d broker.Difference) []string {
			return []string{d.Where, d.What, d.Is, d.Should}
		}))
	}
	if len(differences) > 0 {
		return errDiffers
	}
	return nil
}

// retry calls f until it succeeds, cannot succeed, or ctx is done.
func retry(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || errors.Is(err, broker.ErrUnfit) {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
