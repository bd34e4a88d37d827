package cli_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type setupCheckJSON struct {
	OK          bool                `json:"ok"`
	Differences []broker.Difference `json:"differences"`
}

func TestSetupCheck(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{
		"NATS_URL": cluster.URL(), "DATABASE_URL": postgrestest.EmptyURL(t),
	}}
	run := func(want int, args ...string) result {
		t.Helper()
		r := i.run(args...)
		if r.code != want {
			t.Fatalf("coinhook %s: %+v, want exit %d", strings.Join(args, " "), r, want)
		}
		return r
	}
	missing := run(1, "setup", "--check")
	for _, want := range []string{"stream DELIVERIES", "bucket webhooks", "consumer partition-1-0", "tables"} {
		if !strings.Contains(missing.stdout, want) {
			t.Errorf("of nothing at all setup --check says %q, want %q", missing.stdout, want)
		}
	}
	if again := run(1, "setup", "--check"); again.stdout != missing.stdout {
		t.Errorf("setup --check has changed something: %q", again.stdout)
	}
	run(0, "setup", "--replicas", "3", "--max-bytes", "1000000000")
	if fits := run(0, "setup", "--check", "-o", "json"); !strings.Contains(fits.stdout, `"differences": []`) {
		t.Errorf("what fits is %s", fits.stdout)
	}
	run(0, "setup")
	run(0, "setup", "--check", "--replicas", "3", "--max-bytes", "1000000000")
	run(0, "setup", "--max-age", "90s") // less than the time in which duplicates are known
	run(0, "setup", "--max-age", "7d")

	r := run(1, "setup", "--check", "--max-bytes", "0", "--max-age", "1d", "-o", "json")
	var got setupCheckJSON
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := setupCheckJSON{Differences: []broker.Difference{
		{Where: "stream DELIVERIES", What: "max_bytes", Is: "1000000000", Should: "-1"},
		{Where: "stream SAMPLES", What: "max_age", Is: "168h0m0s", Should: "24h0m0s"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// Fewer copies take a word.
	if r := run(2, "setup", "--replicas", "1"); !strings.Contains(r.stderr, "from 3 copies to 1") || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("fewer copies: %+v", r)
	}
	run(0, "setup", "--check")
	run(0, "setup", "--replicas", "1", "--yes")
	run(0, "setup", "--check", "--replicas", "1")
}

func TestSetupCheckOfTables(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	if r := i.run("setup", "--check"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	i.exec("DELETE FROM schema_versions WHERE version_id = (SELECT max(version_id) FROM schema_versions)")
	if r := i.run("setup", "--check"); r.code != 1 || !strings.Contains(r.stdout, "schema") {
		t.Errorf("with a migration to run: %+v", r)
	}
}

// A consumer that was deleted does not read all of the stream again.
func TestSetupBeginsWhereTheAuditIs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		incarnation string // of the audit's progress; the stream's own where it is empty
		storedAt    time.Duration
		findings    string // kinds and messages
		acked       string // the same
		first       uint64
	}{
		"audited":         {first: 3},
		"unsettled":       {findings: "('unsettled', 2), ('replay_unexecuted', 1)", first: 1},
		"one unsettled":   {findings: "('unsettled', 2), ('outcome_changed', 1)", first: 2},
		"unsettled later": {findings: "('unsettled', 3)", first: 3},
		"one not owed":    {findings: "('unsettled', 1), ('unsettled', 2)", acked: "('unsettled', 1)", first: 2},
		"another stream":  {incarnation: "another", first: 1},
		"from a backup":   {storedAt: time.Second, first: 1},
		"nothing audited": {incarnation: "-", first: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t)
			for range 3 {
				i.publish("wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", 1, "{}")
			}
			stream, err := i.conn.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			second, _, err := stream.Message(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			incarnation, err := i.conn.Incarnation(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if test.incarnation != "" {
				incarnation = test.incarnation
			}
			if incarnation != "-" {
				i.exec(fmt.Sprintf("UPDATE audit_progress SET incarnation = '%s', sequence = 2, stored_at = '%s'",
					incarnation, second.StoredAt.Add(test.storedAt).Truncate(time.Microsecond).Format(time.RFC3339Nano)))
			}
			if test.findings != "" {
				i.exec(findingsOf("audit_findings", "part, found_at", "'stream', now()", test.findings))
			}
			if test.acked != "" {
				i.exec(findingsOf("audit_acks", "acked_by, note", "'ada', ''", test.acked))
			}
			for n := range broker.DefaultPartitions {
				i.server.DeleteConsumer("DELIVERIES", delivery.Partition{Generation: 1, Index: n}.Name())
			}
			if r := i.run("setup"); r.code != 0 {
				t.Fatalf("setup: %+v", r)
			}
			b, err := stream.Pending(t.Context())
			if err != nil || b.First != test.first {
				t.Errorf("the backlog is %+v, %v, want from %d on", b.Extent, err, test.first)
			}
		})
	}
}

// findingsOf is a statement that adds findings or their acknowledgements.
func findingsOf(table, columns, values, findings string) string {
	return fmt.Sprintf(`INSERT INTO %s (kind, stream_sequence, delivery_id, user_id, currency, detail, %s)
SELECT f.kind, f.sequence, lpad(f.sequence::text, 32, '0')::uuid, lpad('', 32, '0')::uuid, '', '', %s FROM (VALUES %s) f (kind, sequence)`,
		table, columns, values, findings)
}

func (i *installation) exec(statement string) {
	i.t.Helper()
	db, err := sql.Open("postgres", i.env["DATABASE_OWNER_URL"])
	if err != nil {
		i.t.Fatal(err)
	}
	defer db.Close() // the database is dropped next
	if _, err := db.ExecContext(i.t.Context(), statement); err != nil {
		i.t.Fatal(err)
	}
}
