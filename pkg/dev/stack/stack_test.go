package devstack

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/broker/permissions"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

func TestStackTellsHowToReachIt(t *testing.T) {
	t.Parallel()
	stack := startStack(t, Options{Dir: folder(t), Env: []string{"MAX_BODY_BYTES=1000"}})

	info, err := os.Stat(filepath.Join(stack.Dir(), "dev.env"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("dev.env has mode %o", mode)
	}
	told := readEnv(t, stack.Dir())
	for key, want := range stack.Env() {
		if told[key] != want || want == "" {
			t.Errorf("%s = %q in dev.env, %q in Env()", key, told[key], want)
		}
	}
	if _, ok := told["CONSOLE_URL"]; ok {
		t.Error("dev.env names a console that does not run")
	}
	want := []string{"applier-1", "applier-2", "ingress", "nats", "postgres"}
	pids := readPIDs(t, stack.Dir())
	if got := sortedNames(pids); !slices.Equal(got, want) {
		t.Errorf("pids.json lists %v, want %v", got, want)
	}
	for name, pid := range pids {
		if stack.PID(name) != pid {
			t.Errorf("PID(%s) = %d, the file says %d", name, stack.PID(name), pid)
		}
	}
	for key, want := range map[string]string{"MAX_BODY_BYTES": "1000", "LOG_FORMAT": "json"} {
		if got := get(t, stack.IngressURL()+"/env/"+key); got != want {
			t.Errorf("the ingress has %s=%q, want %q", key, got, want)
		}
	}
	wantUsers(t, stack, told["NATS_URL"])
}

// TestTheIngressGetsNoSecretOfOthers: it faces everybody. Of the master key it needs
// the signing secrets.
func TestTheIngressGetsNoSecretOfOthers(t *testing.T) {
	t.Parallel()
	stack := startStack(t, Options{Dir: folder(t), Console: false})
	for _, key := range []string{"DATABASE_URL", "DATABASE_OWNER_URL", "CONSOLE_PASSWORD"} {
		if got := get(t, stack.IngressURL()+"/env/"+key); got != "" {
			t.Errorf("the ingress has %s", key)
		}
	}
	if stack.Env()["DATABASE_URL"] == "" || get(t, stack.IngressURL()+"/env/NATS_URL") == "" {
		t.Error("there is nothing to hide")
	}
	if got := get(t, stack.IngressURL()+"/env/COINHOOK_MASTER_KEY"); got == "" || got != stack.Env()["COINHOOK_MASTER_KEY"] {
		t.Error("the ingress cannot open signing secrets")
	}
}

// Each part logs in to PostgreSQL as a role of its own, with a password that nobody else
// can read. Only setup is the owner.
func TestPartsHaveDatabaseRolesOfTheirOwn(t *testing.T) {
	t.Parallel()
	stack := startStack(t, Options{Dir: folder(t), Appliers: 1})
	env := stack.Env()
	parts := map[string]string{"applier": get(t, stack.OpsURL("applier-1")+"/env/DATABASE_URL"), "command": env["DATABASE_URL"], "coinhook": env["DATABASE_OWNER_URL"]}
	for role, address := range parts {
		if !strings.HasPrefix(address, "postgres://"+role+":") {
			t.Errorf("%s has DATABASE_URL=%s", role, address)
		}
	}
	if got := get(t, stack.OpsURL("applier-1")+"/env/DATABASE_OWNER_URL"); got != "" {
		t.Error("an applier has the database's owner")
	}
	for _, role := range []string{"applier", "console", "command"} {
		info, err := os.Stat(filepath.Join(stack.Dir(), "postgres-"+role+"-password"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the password of %s has the mode %s", role, info.Mode())
		}
	}
	db, err := sql.Open("postgres", env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var isSuper, inGroup bool
	const query = `SELECT rolsuper OR rolcreaterole OR rolcreatedb, pg_has_role('coinhook_command', 'usage') FROM pg_roles WHERE rolname = current_user`
	if err := db.QueryRowContext(deadline(t), query).Scan(&isSuper, &inGroup); err != nil || isSuper || !inGroup {
		t.Errorf("the command's role: super %v, in its group %v, %v", isSuper, inGroup, err)
	}
}

func TestStackComesBackWithDataAndPorts(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	stack := startStack(t, Options{Dir: dir})
	before := stack.Env()
	publish(t, before["NATS_URL"], "a delivery")
	insert(t, before["DATABASE_OWNER_URL"])
	pids := readPIDs(t, dir)
	stopStack(t, stack)
	for name, pid := range pids {
		if isAlive(pid) {
			t.Errorf("%s (%d) runs after Stop", name, pid)
		}
	}
	if got := readPIDs(t, dir); len(got) != 0 {
		t.Errorf("pids.json lists %v after Stop", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "dev.env")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dev.env is still there after Stop: %v", err)
	}
	for _, name := range []string{"ingress", "applier-1", "applier-2"} {
		if log := process.Tail(filepath.Join(dir, "logs", name+".log"), 0, 5); !strings.Contains(log, "drained") {
			t.Errorf("%s did not drain while the broker was there: %s", name, log)
		}
	}

	stack = startStack(t, Options{Dir: dir})
	for key, want := range before {
		if got := stack.Env()[key]; got != want {
			t.Errorf("%s = %q after the restart, was %q", key, got, want)
		}
	}
	if got := lastMessage(t, before["NATS_URL"]); got != "a delivery" {
		t.Errorf("message = %q", got)
	}
	if got := count(t, before["DATABASE_OWNER_URL"]); got != 1 {
		t.Errorf("rows = %d", got)
	}
}

func TestStackStartsAgainWhatDied(t *testing.T) {
	t.Parallel()
	stack := startStack(t, Options{Dir: folder(t)})
	env := stack.Env()
	publish(t, env["NATS_URL"], "before the crash")
	insert(t, env["DATABASE_OWNER_URL"])

	before := readPIDs(t, stack.Dir())
	for _, pid := range before {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func(context.Context) error {
		now := readPIDs(t, stack.Dir())
		for name, pid := range before {
			if now[name] == 0 || now[name] == pid {
				return fmt.Errorf("pids = %v after %v", now, before)
			}
		}
		return nil
	})
	if err := stack.Ready(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if got := lastMessage(t, env["NATS_URL"]); got != "before the crash" {
		t.Errorf("message = %q", got)
	}
	if got := count(t, env["DATABASE_OWNER_URL"]); got != 1 {
		t.Errorf("rows = %d", got)
	}
}

func TestStackStopsAndStartsOnePart(t *testing.T) {
	t.Parallel()
	stack := startStack(t, Options{Dir: folder(t), Appliers: 1})
	for _, name := range []string{Ingress, NATS, Postgres, "applier-1"} {
		first := stack.PID(name)
		if err := stack.StopPart(deadline(t), name); err != nil {
			t.Fatal(err)
		}
		if stack.PID(name) != 0 || isAlive(first) {
			t.Errorf("%s runs after StopPart", name)
		}
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := stack.Ready(short, name); err == nil {
			t.Errorf("%s is ready while it is down", name)
		}
		cancel()
		if err := stack.StartPart(deadline(t), name); err != nil {
			t.Fatal(err)
		}
		if pid := stack.PID(name); pid == 0 || pid == first {
			t.Errorf("%s has pid %d after StartPart, had %d", name, pid, first)
		}
	}
	if err := stack.Kill("queue"); err == nil || !strings.Contains(err.Error(), "applier-1") {
		t.Errorf("Kill of an unknown part = %v, want the names that there are", err)
	}
}

func TestStackStopsPausedParts(t *testing.T) {
	t.Parallel()
	stack := startStack(t, Options{Dir: folder(t), Appliers: 1})
	for _, name := range stack.Names() {
		if err := stack.Pause(name); err != nil {
			t.Fatal(err)
		}
	}
	stopStack(t, stack)
}

func TestStackLeavesNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("this system tells no process of its parent's death")
	}
	needPostgres(t)
	dir, bin := folder(t), binDir(t)
	holder := exec.Command(filepath.Join(bin, "holder"), dir)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	holder.Stderr = t.Output()
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holder.Process.Kill(); holder.Wait() }) // it was killed
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready ") {
		t.Fatalf("the holder says %q: %v", line, err)
	}
	pids, env := readPIDs(t, dir), readEnv(t, dir)
	if len(pids) != 5 {
		t.Fatalf("pids = %v", pids)
	}
	if _, err := Start(t.Context(), Options{Dir: dir, BinDir: bin}); err == nil ||
		!strings.Contains(err.Error(), fmt.Sprintf("pid %d", holder.Process.Pid)) {
		t.Errorf("a second stack in the same folder: %v, want the first one's pid", err)
	}

	holdServer(t, env["DATABASE_OWNER_URL"], 2*releaseWithin)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	holder.Wait() // it was killed
	// At once: what is still on its way out is waited for.
	stack := startStack(t, Options{Dir: dir, BinDir: bin})
	for name, pid := range pids {
		if stack.PID(name) != pid && isAlive(pid) {
			t.Errorf("%s (%d) outlives the stack", name, pid)
		}
	}
	for key, was := range env {
		if got := stack.Env()[key]; got != was {
			t.Errorf("%s = %q, was %q before the kill", key, got, was)
		}
	}
}

func TestStartShowsTheLogOfWhatFails(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	_, err := Start(deadline(t), Options{Dir: folder(t), BinDir: binDir(t), Env: []string{"FAKE_BROKEN=1"}, Appliers: 1})
	if err == nil {
		t.Fatal("a stack of services that cannot work started")
	}
	for _, want := range []string{"ingress is not ready", "ended 3 times", "exit status 1", "cannot work: FAKE_BROKEN is set", "ingress.log"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestStartSaysWhichAddressIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := folder(t)
	_, err = Start(deadline(t), Options{Dir: dir, BinDir: binDir(t), IngressAddr: l.Addr().String()})
	taken, ok := errors.AsType[*AddrTakenError](err)
	if !ok || taken.Part != Ingress || taken.Addr != l.Addr().String() {
		t.Errorf("Start = %v", err)
	}
	if got := readPIDs(t, dir); len(got) != 0 {
		t.Errorf("pids.json lists %v", got)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	cancel(why)
	if _, err := Start(ctx, Options{Dir: folder(t), BinDir: binDir(t)}); !errors.Is(err, why) {
		t.Errorf("Start = %v", err)
	}
}

func TestGivenServersAreUsed(t *testing.T) {
	t.Parallel()
	first := startStack(t, Options{Dir: folder(t), Appliers: 1})
	env := first.Env()
	second := startStack(t, Options{
		Appliers: 1, NATSURL: env["NATS_URL"], DatabaseURL: env["DATABASE_OWNER_URL"], MasterKey: env["COINHOOK_MASTER_KEY"],
		DeliveryKey: env["DELIVERY_KEY"],
	})
	if got, want := sortedNames(readPIDs(t, second.Dir())), []string{"applier-1", "ingress"}; !slices.Equal(got, want) {
		t.Errorf("the second stack runs %v, want %v", got, want)
	}
	for _, key := range []string{"NATS_URL", "DATABASE_OWNER_URL", "COINHOOK_MASTER_KEY", "DELIVERY_KEY"} {
		if got := second.Env()[key]; got != env[key] {
			t.Errorf("%s = %q, want %q", key, got, env[key])
		}
	}
	if got := second.Env()["DATABASE_URL"]; got != env["DATABASE_OWNER_URL"] {
		t.Errorf("DATABASE_URL = %q, want the one that was given", got)
	}
	dir := second.Dir()
	stopStack(t, second)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the throw-away folder is still there: %v", err)
	}
}

func TestHTTPURL(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", ":8080": "http://127.0.0.1:8080",
		"0.0.0.0:80": "http://127.0.0.1:80", "[::]:80": "http://127.0.0.1:80", "localhost:1": "http://localhost:1",
	} {
		if got := httpURL(addr); got != want {
			t.Errorf("httpURL(%q) = %q, want %q", addr, got, want)
		}
	}
}

// wantUsers wants that the ingress and the admin have users of their own, whose passwords
// nobody else can read.
func wantUsers(t *testing.T, stack *Stack, admins string) {
	t.Helper()
	for _, user := range permissions.Users {
		path := filepath.Join(stack.Dir(), "nats-password-"+user)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %s", path, info.Mode())
		}
	}
	ingress := get(t, stack.IngressURL()+"/env/NATS_URL")
	for name, url := range map[string]string{"ingress": ingress, "admin": admins} {
		if !strings.HasPrefix(url, "nats://"+name+":") {
			t.Errorf("%s has NATS_URL=%s", name, url)
		}
	}
	nc, err := nats.Connect(ingress)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("coinhook.fake", nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("the ingress may publish what it likes: %v", err)
	}
	if _, err := nats.Connect("nats://" + stack.state.Addrs[NATS]); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("somebody without a password is let in: %v", err)
	}
}

func TestFilesOfAnotherBrokerStayWithIt(t *testing.T) {
	t.Setenv("NATS_CA", "ca.pem")
	own, other := &Stack{}, &Stack{opts: Options{NATSURL: "nats://elsewhere"}}
	if got := own.natsFiles()["NATS_CA"]; got != "" {
		t.Errorf("the stack's own broker gets NATS_CA=%s", got)
	}
	if got := other.natsFiles()["NATS_CA"]; !filepath.IsAbs(got) || filepath.Base(got) != "ca.pem" {
		t.Errorf("another broker gets NATS_CA=%s", got)
	}
}
