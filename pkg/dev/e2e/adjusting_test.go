package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
)

// A file of adjustments takes effect once, line by line, though the command is killed
// twice in the middle of it.
func TestAdjustmentsOfAFileTakeEffectOnceThoughTheCommandIsKilled(t *testing.T) {
	t.Parallel()
	const users, kills = 20, 2
	lines := setting(t, "COINHOOK_ADJUSTMENTS", 8000)
	w := newStack(t).newWorld(t)
	w.addNumbered(t, users)
	want := make([]int, users)
	var file bytes.Buffer
	fmt.Fprintln(&file, "user,currency,operator,amount,key")
	for n := range lines {
		amount := 1 + n%7
		want[n%users] += amount
		fmt.Fprintf(&file, "%s,coins,add,%d,season-%d\n", userName(n%users), amount, n)
	}
	path := filepath.Join(w.Dir(), "season.csv")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	command := []string{"users", "adjust", "--file", path, "--note", "season", "--community", w.community, "--yes"}
	const rows, applied = "SELECT count(*) FROM outcomes WHERE community = $1", "SELECT count(*) FROM outcomes WHERE community = $1 AND outcome = 'applied'"
	killed, tries := 0, 0
	for ; killed < kills && tries < 20; tries++ {
		before := w.count(t, rows)
		w.killInTheMiddle(t, command)
		w.wantNonePending(t)
		if came := w.count(t, rows) - before; 0 < came && came < lines {
			killed++
			t.Logf("killed after %d of %d adjustments", came, lines)
		}
	}
	if killed < kills {
		t.Fatalf("the command was killed %d times in the middle, in %d tries", killed, tries)
	}
	if got := w.coinhook(t, command...); got.code != 0 {
		t.Fatalf("the last run: %+v", got)
	}
	w.wantNonePending(t)
	if n, logs := w.count(t, applied), w.count(t, "SELECT count(*) FROM gamification_logs g JOIN users u ON u.id = g.user_id WHERE u.community = $1"); n != lines || logs != lines {
		t.Errorf("%d took effect with %d log entries, want %d", n, logs, lines)
	}
	for u, coins := range want {
		w.wantBalances(t, userName(u), strconv.Itoa(coins), "0")
	}
	var found auditJSON
	w.audit(t, 0, &found)
}

// killInTheMiddle starts a command and kills it once the broker has its second message of
// adjustments.
func (w *world) killInTheMiddle(t *testing.T, args []string) {
	t.Helper()
	nc, err := nats.Connect(w.Env()["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	messages, err := nc.SubscribeSync("coinhook.deliveries")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(withDeadline(t), filepath.Join(w.bin, "coinhook"), args...)
	cmd.Dir, cmd.Env = w.Dir(), os.Environ()
	for key, value := range w.Env() {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // it was killed
	defer cmd.Process.Kill()
	for range 2 {
		if _, err := messages.NextMsgWithContext(withDeadline(t)); err != nil {
			t.Error(err)
		}
	}
}

// Deliveries wait for users by their ids elsewhere, too: one user comes with such an id,
// one gets it later.
func TestDeliveriesRunAgainOnceAUserHasTheExternalID(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "old")
	h := w.hook(t, "game", "active", "user: {by: external, kind: steam, path: user}\nlate_users: {}\n"+addCoins)
	var olds, news []string
	for _, amount := range []string{"1", "2", "4"} {
		olds, news = append(olds, h.deliver(t, coinsBody("7001", amount))), append(news, h.deliver(t, coinsBody("7002", amount)))
	}
	nobodys := h.deliver(t, coinsBody("7003", "8"))
	w.wantUserNotFound(t, append(append([]string{nobodys}, olds...), news...)...)

	w.query(t, new(any), "users", "set", "old", "--external", "steam=7001", "--community", w.community)
	w.query(t, new(any), "users", "add", "--username", "new", "--external", "steam=7002", "--external", "discord=7003", "--community", w.community)
	w.awaitApplied(t, append(olds, news...)...)
	w.wantNonePending(t)
	w.wantBalances(t, "old", "7", "0")
	w.wantBalances(t, "new", "7", "0")
	w.wantUserNotFound(t, nobodys) // an id of another kind is another one's
}
