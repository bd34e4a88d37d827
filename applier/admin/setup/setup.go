// Package setup makes the streams, buckets and tables of an installation, and says
// what a setup would change.
package setup

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
)

var (
	// ErrNotOwner: the roles of the database are managed by others.
	ErrNotOwner = postgres.ErrNotOwner
	// ErrRunning: somebody else sets the installation up at this moment.
	ErrRunning = errors.New("another `coinhook setup` is running")
)

// Setup sets up the installation whose tables are in one database.
type Setup struct{ store *postgres.Store }

// New returns a setup.
func New(store *postgres.Store) *Setup { return &Setup{store: store} }

// Ping returns an error while the database does not answer.
func (s *Setup) Ping(ctx context.Context) error { return s.store.Ping(ctx) }

// Topology completes a topology with what is in the tables: where consumers begin.
func (s *Setup) Topology(t broker.Topology) broker.Topology {
	t.Table, t.Audited = s.store, s.audited
	return t
}

// Migrate brings the tables up to date and returns how many migrations that took.
func (s *Setup) Migrate(ctx context.Context) (migrations int, err error) { return s.store.Migrate(ctx) }

// GrantRoles gives the services' database roles what they need. It returns ErrNotOwner
// where others manage the roles.
func (s *Setup) GrantRoles(ctx context.Context) error { return s.store.GrantRoles(ctx) }

// Apply sets up the broker, one command at a time: two would make different partitions.
func (s *Setup) Apply(ctx context.Context, conn *broker.Conn, t broker.Topology) error {
	lead, err := s.store.Lead(ctx, postgres.SettingUp)
	if err != nil {
		return err
	}
	if lead == nil {
		return ErrRunning
	}
	defer lead.Close()
	return conn.Setup(ctx, t)
}

// Differences returns what the tables and roles lack.
func (s *Setup) Differences(ctx context.Context) (differences []broker.Difference, err error) {
	schema, err := s.store.SchemaState(ctx)
	if err != nil {
		return nil, err
	}
	if !schema.Current() {
		differences = append(differences, broker.Difference{
			Where: "tables", What: "schema", Is: strconv.FormatInt(schema.Version, 10), Should: strconv.FormatInt(schema.Newest, 10),
		})
	}
	roles, err := s.store.RoleDifferences(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		what := "role"
		if r.Table != "" {
			what = "grants on " + r.Table
		}
		differences = append(differences, broker.Difference{Where: r.Role, What: what, Is: cmp.Or(r.Is, "none"), Should: cmp.Or(r.Should, "none")})
	}
	return differences, nil
}

// audited returns the message up to which the audit that always runs has found
// all deliveries of this stream settled, 0 if it cannot be told. A stream that
// came back from a backup has other messages there. The audit goes on past
// deliveries without outcome: the first of them has to be redelivered.
func (s *Setup) audited(ctx context.Context, incarnation string, stream *broker.Stream) (uint64, error) {
	p, found, err := s.store.Audited(ctx)
	if err != nil || p.Sequence == 0 || p.Incarnation != incarnation {
		return 0, err
	}
	extent, err := stream.Extent(ctx)
	if err != nil {
		return 0, err
	}
	back, err := stream.WentBack(ctx, extent, p.Sequence, p.StoredAt)
	if err != nil || back {
		return 0, err
	}
	settled := p.Sequence
	for _, f := range found {
		if audit.IsUnsettled(f) && !f.Acked && f.Sequence > 0 {
			settled = min(settled, f.Sequence-1)
		}
	}
	return settled, nil
}
