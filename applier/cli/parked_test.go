package cli_test

import (
	"database/sql"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// openDatabase returns a plain handle on the installation's database.
func (i *installation) openDatabase() *sql.DB {
	i.t.Helper()
	db, err := sql.Open("postgres", i.env["DATABASE_OWNER_URL"])
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { db.Close() }) // the database goes with the test
	return db
}

// withoutAges leaves out how long something waits: that is another time each time.
func withoutAges(text string) string {
	return regexp.MustCompile(`, for [^:]+: `).ReplaceAllString(text, ", for …: ")
}

func TestParkedDeliveriesAreListedAndShown(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop, other webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	i.json(&other, "webhooks", "apply", "-f", i.write("other.yaml", strings.Replace(shopYAML, "Shop", "Other", 1)))
	var ann struct{ ID string }
	i.json(&ann, "users", "add", "--email", "ann@example.com")
	user, err := delivery.ParseID(ann.ID)
	if err != nil {
		t.Fatal(err)
	}
	dead := i.publish(shop.ID, 0, "{}")
	i.settleAll()
	long := delivery.NewID()
	queued := i.publish(shop.ID, 0, "{}")
	paused, locked := delivery.NewID(), delivery.NewID()
	db := i.openDatabase()
	ago := time.Now().Add(-2 * time.Hour)
	for n := range 6 { // lists go by the time of an id
		long[n] = byte(ago.UnixMilli() >> (8 * (5 - n)))
	}
	postgrestest.Park(t, db,
		postgrestest.Parked{ID: long, Webhook: other.ID, Community: "default", Reason: applier.Paused, At: ago},
		postgrestest.Parked{ID: paused, Webhook: shop.ID, Community: "default", Reason: applier.Paused, Body: "the payload"},
		postgrestest.Parked{ID: locked, Webhook: shop.ID, Community: "default", Reason: applier.UserLocked, User: user},
		postgrestest.Parked{ID: dead, Replay: delivery.NewID(), Webhook: shop.ID, Community: "default", Reason: applier.Paused},
	)
	var ids []string
	for _, id := range []delivery.ID{locked, paused, queued, dead, long} {
		ids = append(ids, id.String())
	}
	i.makeCommunity("elsewhere")
	for args, want := range map[string][]string{
		"":                        ids,
		"--status pending":        {ids[0], ids[1], ids[2], ids[4]},
		"--status failed":         ids[3:4],
		"--limit 3":               ids[:3],
		"--webhook Other":         ids[4:],
		"--user ann@example.com":  ids[:1],
		"--since 1h":              ids[:4],
		"--until 2020-01-01":      nil,
		"--until 1h":              ids[4:],
		"--until 1h --since 3h":   ids[4:],
		"--reason user_not_found": nil,
		"--community elsewhere":   nil,
		"--status success":        nil,
	} {
		var list []lineJSON
		i.json(&list, append([]string{"deliveries", "list"}, strings.Fields(args)...)...)
		if diff := cmp.Diff(want, idsOf(list)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", args, diff)
		}
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it only held the lock
	if _, err := tx.ExecContext(t.Context(), "SELECT FROM users FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	r := i.run("deliveries", "list")
	r.stdout = withoutAges(r.stdout)
	for _, want := range []string{
		`Parked: 1 delivery of "Other", for …: paused. ` + "`coinhook webhooks resume " + other.ID + "` executes them, in order.",
		`Parked: 1 delivery and 1 replay of "Shop", for …: paused.`,
		`Parked: 1 delivery of "Shop", for …: user_locked. They go on by themselves once the session`,
		"  Held by process ", "idle in transaction",
		"parked since", ": paused, because", ", a replay waits: paused",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the list lacks %q:\n%s", want, r.stdout)
		}
	}
	if r := i.run("deliveries", "list", "--webhook", "Other"); strings.Contains(r.stdout, `"Shop"`) || !strings.Contains(r.stdout, "Parked: ") {
		t.Errorf("of one webhook:\n%s", r.stdout)
	}
	if r := i.run("dlq", "list"); !strings.Contains(r.stdout, ", a replay waits: paused") {
		t.Errorf("dead letters:\n%s", r.stdout)
	}
	for id, want := range map[delivery.ID][]string{
		paused: {"parked since", "paused, because", "the payload"},
		locked: {"user_locked, because", "ann@example.com", "Held by process "},
		dead:   {"failed", "waits since", "paused, because"},
	} {
		r := i.run("deliveries", "show", id.String())
		for _, text := range want {
			if !strings.Contains(r.stdout, text) {
				t.Errorf("shown without %q:\n%s%s", text, r.stdout, r.stderr)
			}
		}
	}
}
