package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type pendingJSON struct {
	Overdue  bool
	State    string
	Since    *time.Time
	Attempts *int
	Why      *string
	Detail   *string
}

type lineJSON struct {
	ID      string
	Status  string
	Pending *pendingJSON
}

func idsOf(list []lineJSON) (ids []string) {
	for _, d := range list {
		ids = append(ids, d.ID)
	}
	return ids
}

// awaitOverdue waits until so many deliveries are listed as overdue.
func (i *installation) awaitOverdue(n int) {
	i.t.Helper()
	appliertest.Eventually(i.t, fmt.Sprint(n, " deliveries are overdue"), func() bool {
		var list []lineJSON
		i.json(&list, "deliveries", "list", "--status", "pending")
		found := 0
		for _, d := range list {
			if d.Pending.Overdue {
				found++
			}
		}
		return found >= n
	})
}

func TestWhatIsPendingForTooLongIsListedFirst(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.env["PENDING_LIMIT"] = "1s"
	var shop, other webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	i.json(&other, "webhooks", "apply", "-f", i.write("other.yaml", strings.Replace(shopYAML, "Shop", "Other", 1)))
	settled := i.publish(shop.ID, 0, "{}").String()
	i.settleAll()
	if r := i.run("deliveries", "list"); strings.Contains(r.stdout, "pending") {
		t.Errorf("nothing is pending:\n%s", r.stdout)
	}
	first, second := i.publish(shop.ID, 0, "{}").String(), i.publish(other.ID, 0, "{}").String()
	i.awaitOverdue(2)
	// What the rest looks like needs those that are young while it is asked.
	i.env["PENDING_LIMIT"] = "1h"
	var list []lineJSON
	i.json(&list, "deliveries", "list")
	if diff := cmp.Diff([]string{second, first, settled}, idsOf(list)); diff != "" {
		t.Errorf("with none overdue: %s", diff)
	}
	r := i.run("deliveries", "list")
	if head, _, _ := strings.Cut(r.stdout, "\n"); !strings.HasPrefix(head, "Oldest pending: ") || !strings.HasSuffix(head, "s ("+first+").") {
		t.Errorf("the head is %q", head)
	}

	i.env["PENDING_LIMIT"] = "1s"
	i.json(&list, "deliveries", "list")
	if diff := cmp.Diff([]string{first, second, settled}, idsOf(list)); diff != "" {
		t.Errorf("with two overdue: %s", diff)
	}
	why := "no applier is asking for deliveries"
	if diff := cmp.Diff(&pendingJSON{Overdue: true, State: "queued", Why: &why}, list[0].Pending); diff != "" {
		t.Error(diff)
	}
	if list[2].Pending != nil {
		t.Errorf("of a settled one it says %+v", list[2].Pending)
	}
	i.makeCommunity("elsewhere")
	for args, want := range map[string][]string{
		"deliveries list --limit 1":                           {first},
		"deliveries list --limit 2":                           {first, second},
		"deliveries list --webhook Other":                     {second},
		"deliveries list --status pending":                    {first, second},
		"deliveries list --status pending --since 1h":         {first, second},
		"deliveries list --status pending --since 100ms":      nil,
		"deliveries list --status failed":                     {settled},
		"deliveries list --community elsewhere":               nil,
		"deliveries list --status pending --since 2099-01-01": nil,
	} {
		i.json(&list, strings.Fields(args)...)
		if diff := cmp.Diff(want, idsOf(list)); diff != "" {
			t.Errorf("%s: %s", args, diff)
		}
	}
	r = i.run("deliveries", "list", "--webhook", "Other")
	head, rest, _ := strings.Cut(r.stdout, "\n")
	if !strings.HasPrefix(head, "Oldest pending of all webhooks: ") || !strings.HasSuffix(head, "s ("+first+"). 2 are older than 1s: "+why+".") {
		t.Errorf("the head is %q", head)
	}
	if !strings.HasPrefix(rest, "Start an applier") || !strings.Contains(rest, "overdue, not handed out yet: "+why[:20]) {
		t.Errorf("below the head:\n%s", rest)
	}
}

func TestWhatAppliersSayOfPendingDeliveriesIsShown(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	retried, behind := i.publish(shop.ID, 0, "{}"), i.publish(shop.ID, 0, "{}")
	since := time.Now().UTC().Truncate(time.Second)
	if err := i.conn.Notice("host-1").Put(t.Context(), broker.Trouble{Retried: &broker.TroubleRetried{
		Since: since, Attempts: 7, Why: "PostgreSQL: settle: away", Deliveries: 1, First: 1, Last: 1, Slots: []int{delivery.SlotOf(shop.ID)},
	}}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[delivery.ID]pendingJSON{
		retried: {State: "retried", Since: &since, Attempts: new(7), Why: new("PostgreSQL: settle: away")},
		behind:  {State: "queued", Why: new("waits behind deliveries that are tried again: PostgreSQL: settle: away")},
	} {
		var shown lineJSON
		i.json(&shown, "deliveries", "show", id.String())
		if diff := cmp.Diff(&want, shown.Pending); diff != "" {
			t.Error(diff)
		}
	}
	r := i.run("deliveries", "show", retried.String())
	if !strings.Contains(r.stdout, "tried again since "+since.Local().Format("2006-01-02 15:04:05")+", 7 attempts: PostgreSQL: settle: away") {
		t.Errorf("shown as\n%s", r.stdout)
	}
	i.env["PENDING_LIMIT"] = "1s"
	i.awaitOverdue(2)
	r = i.run("deliveries", "list")
	for _, want := range []string{"2 are older than 1s: tried again since ", ": PostgreSQL: settle: away.", "once that is corrected"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the list lacks %q:\n%s", want, r.stdout)
		}
	}
}

func TestADeliveryWhoseKeyCannotBeOpenedIsParked(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop encryptedJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"encryption: gcm\n"))
	locked := i.publishEncrypted(shop.ID, strings.Repeat("00", 40), time.Now())
	i.env["COINHOOK_MASTER_KEY"] = ""
	stop := i.startApplier()
	defer stop()
	var shown lineJSON
	appliertest.Eventually(t, "it is shown as parked", func() bool {
		i.json(&shown, "deliveries", "show", locked.String())
		return shown.Pending.State == "parked"
	})
	p := shown.Pending
	if p.Since == nil || p.Why == nil || *p.Why != "key_unavailable" || p.Detail == nil || !strings.Contains(*p.Detail, "COINHOOK_MASTER_KEY is not set") {
		t.Errorf("it is shown as %+v, want it with the missing key", p)
	}
	if r := i.run("deliveries", "list"); !strings.Contains(withoutAges(r.stdout), `of "Shop", for …: key_unavailable. They go on by themselves once all appliers have the COINHOOK_MASTER_KEY`) {
		t.Errorf("the list is\n%s", r.stdout)
	}
}

func TestWhatIsPendingIsListedWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	id := i.publish(shop.ID, 0, "the payload").String()
	i.env["DATABASE_URL"] = "postgres://nobody:hunter2@127.0.0.1:1/nothing?sslmode=disable"
	const unchecked = "Some deliveries shown as pending may already be settled"
	for _, args := range []string{
		"deliveries list --status pending", "deliveries list --status pending -o json", "deliveries list --status pending --webhook Shop",
		"deliveries show " + id, "deliveries show -o json " + id,
	} {
		r := i.run(strings.Fields(args)...)
		if r.code != 0 || !strings.Contains(r.stdout, id) || !strings.Contains(r.stderr, unchecked) || strings.Contains(r.stdout+r.stderr, "hunter2") {
			t.Errorf("%s: %+v", args, r)
		}
	}
	for args, want := range map[string]string{
		"deliveries list":                                         "--status pending",
		"deliveries list --status failed":                         "--status pending",
		"deliveries show 01920f4e-7f00-7000-8000-000000000001":    "connection refused",
		"deliveries list --status pending --user ann@example.com": "connection refused",
	} {
		r := i.run(strings.Fields(args)...)
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%s: %+v, want exit 1 and %q", args, r, want)
		}
	}
}

func TestThePendingLimitIsChecked(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	for _, limit := range []string{"5", "999ms", "-1h", "7d", "soon"} {
		i.env["PENDING_LIMIT"] = limit
		r := i.run("deliveries", "list")
		if want := `PENDING_LIMIT="` + limit + `": want a duration in h, m, s or ms, such as 1h30m, of 1s or more`; r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("%+v, want exit 2 and %s", r, want)
		}
	}
}
