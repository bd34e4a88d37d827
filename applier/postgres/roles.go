package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// Roles are the group roles that `coinhook setup` grants to. None of them can log
// in: an operator makes login roles that are members of one.
var Roles = []string{"coinhook_applier", "coinhook_console", "coinhook_command"}

// tableGrants are what the roles may do with a table, in the order of Roles: s
// for SELECT, i for INSERT, u for UPDATE, d for DELETE. A row lock needs UPDATE of a
// column: l is UPDATE of one that is always empty.
type tableGrants struct {
	table string
	of    [3]string
}

// grants name every table. The ingress has no role, because it never connects.
var grants = []tableGrants{
	// What settling writes. A revert, a discard and an import of dead letters write
	// some of it, too.
	{"users", [...]string{"sl", "siu", "siu"}},
	{"external_ids", [...]string{"s", "siud", "siud"}},
	{"balances", [...]string{"siu", "siu", "siu"}},
	{"outcomes", [...]string{"siud", "su", "siu"}},
	{"gamification_logs", [...]string{"sid", "si", "si"}},
	{"dead_letters", [...]string{"siud", "sd", "sid"}},
	{"idempotency_keys", [...]string{"siud", "s", "s"}},
	{"field_history", [...]string{"sid", "si", "sid"}},
	{"user_fields", [...]string{"siud", "sud", "sud"}},
	{"executions", [...]string{"sid", "s", "si"}},
	{"parked", [...]string{"siud", "s", "s"}},
	{"stream_epochs", [...]string{"si", "s", "s"}},
	{"reverts", [...]string{"sd", "si", "si"}},
	{"discards", [...]string{"sd", "si", "si"}},
	{"replay_runs", [...]string{"s", "siu", "siu"}},

	// A community's configuration.
	{"currencies", [...]string{"s", "siu", "siu"}},
	{"fields", [...]string{"s", "siud", "siud"}},

	// How the appliers share the work, and what they found and removed.
	{"partitions", [...]string{"siu", "s", "siu"}},
	{"partition_members", [...]string{"siud", "s", "s"}},
	{"log_bases", [...]string{"siu", "s", "s"}},
	{"retention", [...]string{"su", "s", "s"}},
	{"removals", [...]string{"siud", "s", "s"}},
	{"audit_progress", [...]string{"siu", "s", "s"}},
	{"audit_findings", [...]string{"siud", "s", "sd"}},
	{"audit_acks", [...]string{"s", "s", "si"}},
	{"delivery_counts", [...]string{"sid", "s", "s"}},
	{"delivery_counts_progress", [...]string{"su", "s", "s"}},
	{"delivery_counts_marks", [...]string{"sd", "s", "s"}},

	// Who may use the console and the read API.
	{"admins", [...]string{"", "siu", "siu"}},
	{"admin_grants", [...]string{"", "sid", "sid"}},
	{"sessions", [...]string{"", "siud", "sd"}},
	{"sign_in_attempts", [...]string{"", "sid", "sid"}},
	{"sign_in_networks", [...]string{"", "siud", "sd"}},
	{"tokens", [...]string{"", "siu", "siu"}},
	{"audit_trail", [...]string{"", "si", "si"}},
	{"audit_trail_head", [...]string{"", "s", "s"}},

	{"schema_versions", [...]string{"s", "s", "s"}},
	{"schema_compatibility", [...]string{"s", "s", "s"}},
	{"field_revisions", [...]string{"", "U", "U"}}, // a sequence
}

var privileges = map[byte]string{'s': "SELECT", 'i': "INSERT", 'u': "UPDATE", 'l': "UPDATE (lockable)", 'd': "DELETE", 'U': "USAGE"}

// RoleDifference is a missing or extra grant of a role, or a missing role.
type RoleDifference struct {
	Role  string
	Table string // empty: all of the role
	// Is and Should are privileges, separated by commas.
	Is, Should string
}

const (
	rolesQuery   = `SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)`
	grantedQuery = `
SELECT r.rolname, c.relname, a.privilege_type || a.of_column
FROM pg_class c
CROSS JOIN LATERAL (
    SELECT grantee, privilege_type, '' AS of_column FROM aclexplode(c.relacl)
    UNION ALL
    SELECT x.grantee, x.privilege_type, ' (' || t.attname || ')'
    FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) x
    WHERE t.attrelid = c.oid AND NOT t.attisdropped
) a
JOIN pg_roles r ON r.oid = a.grantee
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'S') AND r.rolname = ANY ($1)`
	schemaUsageQuery = `SELECT rolname FROM pg_roles WHERE rolname = ANY ($1) AND NOT has_schema_privilege(oid, current_schema(), 'USAGE')`
	currentSchema    = `SELECT current_schema()`
	lockGrantsQuery  = `SELECT pg_advisory_xact_lock(1735552628)` // "grnt"
)

// RoleDifferences compares the roles and their grants with what this program needs.
// It knows nothing of the tables of a newer one.
func (s *Store) RoleDifferences(ctx context.Context) ([]RoleDifference, error) {
	state, err := s.SchemaState(ctx)
	if err != nil || state.Version > state.Newest {
		return nil, err
	}
	differences, err := roleDifferences(ctx, s.db)
	return differences, pg.Wrap(err, "read the database's roles")
}

func roleDifferences(ctx context.Context, q sqlx.QueryerContext) ([]RoleDifference, error) {
	var there []string
	if err := sqlx.SelectContext(ctx, q, &there, rolesQuery, pq.Array(Roles)); err != nil {
		return nil, err
	}
	granted, err := readGrants(ctx, q)
	if err != nil {
		return nil, err
	}
	var all []RoleDifference
	for n, role := range Roles {
		if !slices.Contains(there, role) {
			all = append(all, RoleDifference{Role: role, Is: "missing", Should: "a role"})
			continue
		}
		all = append(all, granted[role].differ(role, n)...)
	}
	return all, nil
}

// roleGrants are the privileges that a role has, by table.
type roleGrants map[string][]string

func readGrants(ctx context.Context, q sqlx.QueryerContext) (map[string]roleGrants, error) {
	granted := map[string]roleGrants{}
	err := pg.Each(ctx, q, grantedQuery, func(scan pg.Scan) error {
		var role, table, privilege string
		if err := scan(&role, &table, &privilege); err != nil {
			return err
		}
		if granted[role] == nil {
			granted[role] = roleGrants{}
		}
		granted[role][table] = append(granted[role][table], privilege)
		return nil
	}, pq.Array(Roles))
	return granted, err
}

// differ compares with the grants of role n. Tables of others are left alone.
func (g roleGrants) differ(role string, n int) (all []RoleDifference) {
	for _, t := range grants {
		var should []string
		for i := range len(t.of[n]) {
			should = append(should, privileges[t.of[n][i]])
		}
		is := g[t.table]
		slices.Sort(is)
		slices.Sort(should)
		if !slices.Equal(is, should) {
			all = append(all, RoleDifference{Role: role, Table: t.table, Is: strings.Join(is, ", "), Should: strings.Join(should, ", ")})
		}
	}
	return all
}

// ErrNotOwner: the role that runs setup may not create roles, or does not own the
// tables.
var ErrNotOwner = errors.New("this database role may not do it")

// GrantRoles creates the missing roles and gives each the least that it needs.
// It changes nothing if all is as it should be. It returns ErrNotOwner with the
// statement that PostgreSQL refused: the operator has to run it.
func (s *Store) GrantRoles(ctx context.Context) error {
	differences, err := s.RoleDifferences(ctx)
	if err != nil || len(differences) == 0 {
		return err
	}
	for _, d := range differences {
		if d.Table != "" {
			continue
		}
		err := s.inTx(ctx, func(tx *sqlx.Tx) error {
			return execGrant(ctx, tx, "CREATE ROLE "+pq.QuoteIdentifier(d.Role)+" NOLOGIN")
		})
		// Another setup, of another database too, may have made it just now.
		if err != nil && pq.As(err, pqerror.DuplicateObject, pqerror.UniqueViolation) == nil {
			return notOwner(err)
		}
	}
	err = s.inTxAgain(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lockGrantsQuery); err != nil {
			return err
		}
		return grantIn(ctx, tx)
	})
	return notOwner(err)
}

func execGrant(ctx context.Context, tx *sqlx.Tx, statement string) error {
	if _, err := tx.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func grantIn(ctx context.Context, tx *sqlx.Tx) error {
	var schema string
	if err := tx.GetContext(ctx, &schema, currentSchema); err != nil {
		return err
	}
	var without []string
	if err := tx.SelectContext(ctx, &without, schemaUsageQuery, pq.Array(Roles)); err != nil {
		return err
	}
	for _, role := range without {
		if err := execGrant(ctx, tx, "GRANT USAGE ON SCHEMA "+pq.QuoteIdentifier(schema)+" TO "+pq.QuoteIdentifier(role)); err != nil {
			return err
		}
	}
	differences, err := roleDifferences(ctx, tx)
	if err != nil {
		return err
	}
	for _, d := range differences {
		for _, statement := range d.statements() {
			if err := execGrant(ctx, tx, statement); err != nil {
				return err
			}
		}
	}
	return checkGranted(ctx, tx)
}

// checkGranted finds what was not granted: PostgreSQL only warns a role that may use
// a table and does not own it.
func checkGranted(ctx context.Context, tx *sqlx.Tx) error {
	left, err := roleDifferences(ctx, tx)
	if err != nil || len(left) == 0 {
		return err
	}
	return fmt.Errorf("%w: the owner of the tables has to run: %s", ErrNotOwner, strings.Join(left[0].statements(), "; "))
}

// statements take away what is too much before they give what is missing.
func (d RoleDifference) statements() []string {
	kind := "TABLE "
	if d.Table == "field_revisions" {
		kind = "SEQUENCE "
	}
	on := kind + pq.QuoteIdentifier(d.Table)
	var all []string
	if d.Is != "" {
		all = append(all, "REVOKE ALL ON "+on+" FROM "+pq.QuoteIdentifier(d.Role))
	}
	if d.Should != "" {
		all = append(all, "GRANT "+d.Should+" ON "+on+" TO "+pq.QuoteIdentifier(d.Role))
	}
	return all
}

// notOwner marks the refusal of a statement that only an owner may run.
func notOwner(err error) error {
	if pq.As(err, pqerror.InsufficientPrivilege) != nil {
		return fmt.Errorf("%w: %w", ErrNotOwner, err)
	}
	return err
}
