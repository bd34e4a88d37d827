package cli_test

import (
	"encoding/json"
	"math"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A variable of a script that is not set must not widen what a command acts on, and must
// not make a key or a secret.
func TestEmptyFlagsAreRefused(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	for args, flag := range map[string]string{
		"deliveries revert --webhook= --since 1h --yes":             "--webhook",
		"deliveries revert --user= --since 1h --yes":                "--user",
		"deliveries list --webhook=":                                "--webhook",
		"deliveries list --user= --status failed":                   "--user",
		"deliveries list --status=":                                 "--status",
		"deliveries list --reason=":                                 "--reason",
		"logs list --currency=":                                     "--currency",
		"fields history --field=":                                   "--field",
		"trail list --by=":                                          "--by",
		"dlq replay --text= --yes":                                  "--text",
		"users import users.csv --community=":                       "--community",
		"users adjust ann --currency coins --add 1 --note x --key=": "--key",
		"tokens add dashboard --expires=":                           "--expires",
		"webhooks set-secret Shop --secret=":                        "--secret",
		"webhooks set-encryption Shop gcm --aes-key=":               "--aes-key",
		"webhooks try Shop --file=":                                 "--file",
	} {
		if r := i.run(strings.Fields(args)...); r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, flag+" is empty: give it a value, or leave it out") {
			t.Errorf("coinhook %s: %+v", args, r)
		}
	}
	for _, args := range []string{"dlq list --path=", "users set ann --email=", "users set ann --username="} {
		if r := i.run(strings.Fields(args)...); r.code != 2 || !strings.Contains(r.stderr, "no database is named") {
			t.Errorf("coinhook %s means something: %+v", args, r)
		}
	}
}

func TestRevertRefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{"DATABASE_URL": "postgres://127.0.0.1:1/none"}}
	for args, want := range map[string]string{
		"--since 1h --until 2h":      "--until has to be later than --since",
		"--webhook Shop --version 0": "--version is 1 or more, and goes with --webhook",
	} {
		if r := i.run(append([]string{"deliveries", "revert"}, strings.Fields(args)...)...); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("coinhook deliveries revert %s: %+v", args, r)
		}
	}
}

// The changes of one delivery have one time: a page that ends between them loses none.
func TestPagesOfLogsLoseNothing(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"  - {currency: xp, operator: add, value: {path: coins}}\n"))
	i.do("users add --email ann@example.com")
	for range 2 {
		i.publish(shop.ID, 0, `{"customer":{"email":"ann@example.com"},"coins":5}`)
	}
	i.settleAll()
	type log struct {
		Currency, Balance string
		DeliveryID        string `json:"delivery_id"`
	}
	var all, paged []log
	i.json(&all, "logs", "list")
	if len(all) != 4 {
		t.Fatalf("%+v", all)
	}
	for args := []string{"--limit", "1"}; ; {
		r := i.run(append([]string{"logs", "list", "-o", "json"}, args...)...)
		var page []log
		if err := json.Unmarshal([]byte(r.stdout), &page); err != nil || len(page) > 1 || len(paged) > len(all) {
			t.Fatalf("%v: %+v, %v", args, r, err)
		}
		if paged = append(paged, page...); len(page) == 0 {
			break
		}
		_, before, ok := strings.Cut(r.stderr, "add --before ")
		if before, _, _ = strings.Cut(before, ","); !ok {
			t.Fatalf("%v: %+v", args, r)
		}
		args = []string{"--limit", "1", "--before", before}
	}
	if diff := cmp.Diff(all, paged); diff != "" {
		t.Errorf("-all +in pages of one:\n%s", diff)
	}
	if r := i.run("logs", "list", "--before=-1"); r.code != 2 {
		t.Errorf("no entry: %+v", r)
	}
}

func TestADatabaseThatHangsUp(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{"DATABASE_URL": "postgres://" + listener.Addr().String() + "/x?sslmode=disable"}}
	if r := i.run("users", "list"); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "PostgreSQL does not answer, or it closed the connection: try again in a moment: ") {
		t.Errorf("%+v", r)
	}
}

func TestOverlapsAreToldInDaysAndHours(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("webhooks apply -f " + i.write("shop.yaml", strings.Replace(shopYAML, "api_key: true", "api_key: true, signature: github", 1)))
	for args, want := range map[string]string{
		"webhooks rotate-key Shop":               "older ones work for another 1d.",
		"webhooks rotate-key Shop --overlap 90m": "older ones work for another 1h 30m.",
		"webhooks rotate-key Shop --overlap 0":   "older ones work no more.",
		"admins set eva --role none":             "--role none needs --community",
	} {
		if r := i.run(strings.Fields(args)...); !strings.Contains(r.stdout+r.stderr, want) {
			t.Errorf("coinhook %s: %+v", args, r)
		}
	}
	i.do("webhooks set-secret Shop")
	if r := i.run("webhooks", "set-secret", "Shop", "--overlap", "1h"); r.code != 0 || !strings.Contains(r.stdout, "older ones work for another 1h.") {
		t.Errorf("set-secret: %+v", r)
	}
}

func TestTheLargestLimitListsAll(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.applied(`"coins":5,"team":"red"`, `"coins":"x","team":"red"`, `"coins":"y","team":"red"`)
	for args, want := range map[string]int{
		"dlq list": 2, "deliveries list": 3, "deliveries list --before " + ids[2].String(): 2, "logs list": 1, "users list": 1, "fields history": 1, "currencies list": 2,
	} {
		var list []any
		if i.json(&list, append(strings.Fields(args), "--limit", strconv.Itoa(math.MaxInt))...); len(list) != want {
			t.Errorf("coinhook %s: %d, want %d", args, len(list), want)
		}
	}
}

func TestGroupsTakeALimit(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.applied(`"coins":"x","team":"red"`, `"coins":"y","team":"red"`, `"team":"red"`)
	var all, one []struct {
		Reason string
		Count  int
	}
	i.json(&all, "dlq", "groups")
	i.json(&one, "dlq", "groups", "--limit", "1")
	if len(all) != 2 || len(one) != 1 || one[0] != all[0] || one[0].Count != 2 {
		t.Errorf("all are %+v, one is %+v", all, one)
	}
	if r := i.run("dlq", "groups", "--limit", "1"); r.code != 0 || !strings.Contains(r.stderr, "There are 2: use a larger --limit.") {
		t.Errorf("%+v", r)
	}
	if r := i.run("dlq", "groups", "--limit", "0"); r.code != 2 || r.stdout != "" {
		t.Errorf("none: %+v", r)
	}
}

func TestHelpOfNoCommandSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	for args, want := range map[string]string{"help nothing": "The commands here are setup, webhooks, ", "help webhooks aply": `did you mean "apply"`} {
		if r := i.run(strings.Fields(args)...); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("coinhook %s: %+v", args, r)
		}
	}
}
