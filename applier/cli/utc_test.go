package cli_test

import (
	"regexp"
	"strings"
	"testing"
)

// stamp is a time in JSON.
var stamp = regexp.MustCompile(`"20\d\d-\d\d-\d\dT[^"]*"`)

// TestTimesAreInUTC: PostgreSQL answers in the zone of the connection, which may be any.
func TestTimesAreInUTC(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.fill()
	db := i.database()
	if _, err := db.Exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	var settled, failed []struct{ ID string }
	i.json(&settled, "deliveries", "list", "--status", "success")
	i.json(&failed, "dlq", "list")
	for _, args := range []string{
		"deliveries list", "deliveries show " + settled[0].ID, "deliveries revert --since 1h --all-communities --dry-run", "deliveries revert " + settled[0].ID,
		"deliveries show " + settled[0].ID, "logs list", "fields history", "webhooks list", "webhooks show Shop", "webhooks versions Shop", "webhooks rejections Shop",
		"webhooks catch Shop", "users list", "users show ann", "users export ann", "dlq list", "dlq groups", "dlq show " + failed[0].ID, "dlq export",
		"dlq replay " + failed[0].ID, "deliveries show " + failed[0].ID, "tokens add board --expires 1d", "tokens list", "admins add eve --role viewer", "admins list", "trail list",
	} {
		r := i.run(append(strings.Fields(args), "-o", "json", "--yes")...)
		found := stamp.FindAllString(r.stdout, -1)
		if len(found) == 0 && !strings.Contains(args, "revert") && !strings.Contains(args, "replay") {
			t.Errorf("coinhook %s has no time: %+v", args, r)
		}
		for _, at := range found {
			if !strings.HasSuffix(at, `Z"`) {
				t.Errorf("coinhook %s has the time %s", args, at)
				break
			}
		}
	}
}
