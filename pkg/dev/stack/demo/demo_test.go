package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test binary is the coinhook command, too: it hands its arguments to the
// fake product of the test and prints what that says.
const productVar = "DEMO_TEST_PRODUCT"

func TestMain(m *testing.M) {
	product := os.Getenv(productVar)
	if product == "" {
		// A program built with -race sleeps a second before it exits.
		os.Setenv("GORACE", "atexit_sleep_ms=0") // it only saves time
		os.Exit(m.Run())
	}
	args, _ := json.Marshal(os.Args[1:]) // texts
	resp, err := http.Post(product+"/cli", "application/json", strings.NewReader(string(args)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if resp.StatusCode != http.StatusOK {
		io.Copy(os.Stderr, resp.Body) // the exit status tells
		os.Exit(1)
	}
	io.Copy(os.Stdout, resp.Body) // the other side tells
	os.Exit(0)
}

func TestDemoRunsAgainOnTheSameStack(t *testing.T) {
	t.Parallel()
	p := newProduct(t)
	dir := t.TempDir()
	out, err := p.runDemo(t, dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"$ coinhook users import", "$ coinhook deliveries list --community demo --limit 6", "$ coinhook logs list",
		"$ coinhook webhooks rejections 'GitHub pull requests'", "401 invalid_signature",
		"Codertocat  xp     0  ->  50", "jenny       coins  0  ->  35", "All 6 deliveries ended as expected",
		"x-hub-signature-256: sha256=", `"login":"Codertocat"`, "after the stack was ready",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output does not say %q:\n%s", want, out)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "demo-keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the keys' file has mode %o", mode)
	}

	out, err = p.runDemo(t, dir)
	if err != nil {
		t.Fatalf("second run: %v\n%s", err, out)
	}
	if !strings.Contains(out, "Codertocat  xp     50  ->  100") {
		t.Errorf("the second run does not start from the first one's balances:\n%s", out)
	}
	if p.rotated != 3 {
		t.Errorf("%d keys and secrets were made, want the 3 secrets of the first run", p.rotated)
	}

	out, err = p.runDemo(t, t.TempDir())
	if err != nil {
		t.Fatalf("run without the keys' file: %v\n%s", err, out)
	}
	if p.rotated != 7 {
		t.Errorf("%d keys and secrets were made, want 4 more", p.rotated)
	}
}

func TestAStackThatStaysGetsTheDemoOnce(t *testing.T) {
	t.Parallel()
	p := newProduct(t)
	p.lists = true
	dir := t.TempDir()
	if out, err := p.runDemo(t, dir); err != nil || len(p.deliveries) != 6 {
		t.Fatalf("%d deliveries: %v\n%s", len(p.deliveries), err, out)
	}
	out, err := p.runDemo(t, dir)
	if err != nil || len(p.deliveries) != 6 {
		t.Errorf("after the second start there are %d deliveries: %v\n%s", len(p.deliveries), err, out)
	}
	for _, want := range []string{"--limit 6", "sent its own when the stack first started", "x-hub-signature-256: "} {
		if !strings.Contains(out, want) {
			t.Errorf("the second start does not say %q:\n%s", want, out)
		}
	}
}

func TestDemoSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		spoil func(*product)
		want  []string
	}{
		{
			name:  "amount_is_not_what_the_mapping_says",
			spoil: func(p *product) { p.bonus = 1 },
			want:  []string{"expected the change add 50 xp", "xp of Codertocat: expected 50, came 51"},
		},
		{
			name:  "subtraction_below_zero_goes_through",
			spoil: func(p *product) { p.overdraft = true },
			want:  []string{"expected failed insufficient_balance, came success applied", "coins of jenny: expected 35, came -1000"},
		},
		{
			name:  "ingress_refuses",
			spoil: func(p *product) { p.refuse = http.StatusUnsupportedMediaType },
			want:  []string{"expected 202, came 415"},
		},
		{
			name:  "forged_request_is_taken",
			spoil: func(p *product) { p.trusting = true },
			want:  []string{"a forged request: expected 401, came 202"},
		},
		{
			name:  "reward_has_another_answer",
			spoil: func(p *product) { p.answer = "OK" },
			want:  []string{"expected the answer", `came "OK"`},
		},
		{
			name:  "command_fails",
			spoil: func(p *product) { p.broken = "webhooks apply" },
			want:  []string{"coinhook webhooks apply", "exit status 1", "broken on purpose"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProduct(t)
			test.spoil(p)
			_, err := p.runDemo(t, t.TempDir())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestScenarioBodiesAreJSON(t *testing.T) {
	t.Parallel()
	all, err := scenario(map[string]balances{customer: {"coins": "12"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, planned := range all {
		if planned.webhook != rewards && !json.Valid(planned.body) {
			t.Errorf("%s: the body is not JSON", planned.name)
		}
	}
	if want := `"amount_refunded": 104700`; !strings.Contains(string(all[5].body), want) {
		t.Errorf("the refund does not have %s", want)
	}
	if strings.Contains(string(all[2].body), developer) {
		t.Error("the body of somebody unknown names a known user")
	}
}

func TestNotAcceptedAtFirstIsSentAgain(t *testing.T) {
	t.Parallel()
	p := newProduct(t)
	p.notYet = 3
	if out, err := p.runDemo(t, t.TempDir()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// product is a small Coinhook of the contract's words, that can be spoilt.
type product struct {
	url string

	mu         sync.Mutex
	users      bool
	balances   map[string]map[string]int64
	webhooks   []string // files; the index is in the id and the key
	secrets    map[string]string
	refused    int
	rewarded   string // the newest delivery of the webhook with rewards
	deliveries []map[string]any
	shown      map[string]int
	rotated    int

	bonus     int64
	overdraft bool
	trusting  bool   // takes any signature
	answer    string // to a reward, instead of the right one
	refuse    int
	broken    string
	notYet    int
	lists     bool // its deliveries
}

func newProduct(t *testing.T) *product {
	t.Helper()
	p := &product{shown: map[string]int{}, secrets: map[string]string{}, balances: map[string]map[string]int64{developer: {}, customer: {}}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cli", p.cli)
	mux.HandleFunc("/hooks/{id}", p.hook)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *product) runDemo(t *testing.T, dir string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var out strings.Builder
	err = Run(ctx, Options{
		Coinhook: self, Env: map[string]string{productVar: p.url, "INGRESS_URL": p.url},
		Dir: dir, ReadyAt: time.Now(), Out: &out,
	})
	return out.String(), err
}

func (p *product) cli(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var args []string
	if err := json.NewDecoder(r.Body).Decode(&args); err != nil || len(args) < 2 {
		http.Error(w, "bad usage", http.StatusBadRequest)
		return
	}
	command, rest := args[0]+" "+args[1], args[2:]
	if args[0] == "sign" {
		command, rest = args[0], args[1:]
	}
	answer, err := p.command(command, rest)
	if command == p.broken {
		err = fmt.Errorf("broken on purpose")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if !slices.Contains(args, "json") {
		fmt.Fprintf(w, "the table of %s\n", command)
		return
	}
	json.NewEncoder(w).Encode(answer) // the other side tells
}

func (p *product) command(command string, args []string) (any, error) {
	switch command {
	case "users import":
		p.users = true
	case "users show":
		if !p.users {
			return nil, fmt.Errorf("no user %s", args[0])
		}
		texts := map[string]string{}
		for currency, n := range p.balances[args[0]] {
			texts[currency] = fmt.Sprint(n)
		}
		return map[string]any{"username": args[0], "balances": texts}, nil
	case "webhooks apply":
		return p.apply(filepath.Base(args[1])), nil
	case "webhooks rotate-key":
		p.rotated++
		return map[string]any{"api_key": strings.Replace(args[0], "wh_", "chk_", 1)}, nil
	case "webhooks set-secret":
		p.rotated++
		p.secrets[args[0]] = args[len(args)-1]
		return nil, nil
	case "webhooks rejections":
		return map[string]any{"counts": map[string]int{"invalid_signature": p.refused}}, nil
	case "sign":
		return p.sign(args)
	case "deliveries list":
		if i := slices.Index(args, "--webhook"); i >= 0 && args[i+1] == "wh_4" && p.rewarded != "" {
			return []map[string]any{{"id": p.rewarded}}, nil
		}
		if p.lists {
			return p.deliveries, nil
		}
	case "deliveries show":
		p.shown[args[0]]++
		if p.shown[args[0]] == 1 {
			return map[string]any{"id": args[0], "status": "pending", "outcome": nil, "reason": nil}, nil
		}
		var n int
		if _, err := fmt.Sscanf(args[0], "delivery-%d", &n); err != nil {
			return nil, err
		}
		return p.deliveries[n], nil
	}
	return []any{}, nil
}

// apply takes a file for the name of its webhook.
func (p *product) apply(file string) map[string]any {
	preset := map[string]string{pullRequests: "github", purchases: "stripe", rewards: "levelplay"}[file]
	name := file
	if file == pullRequests {
		name = "GitHub pull requests"
	}
	i := slices.Index(p.webhooks, file)
	made := i < 0
	if made {
		i = len(p.webhooks)
		p.webhooks = append(p.webhooks, file)
	}
	answer := map[string]any{"id": fmt.Sprintf("wh_%d", i+1), "name": name, "auth": map[string]any{"signature": preset}}
	if made && preset == "" {
		answer["api_key"] = fmt.Sprintf("chk_%d", i+1)
	}
	return answer
}

// sign puts the secret into the request: the demo only hands on what it gets.
func (p *product) sign(args []string) (any, error) {
	var n int
	if _, err := fmt.Sscanf(args[0], "wh_%d", &n); err != nil {
		return nil, err
	}
	body, err := os.ReadFile(args[slices.Index(args, "-f")+1])
	if err != nil {
		return nil, err
	}
	secret := p.secrets[p.nameOf(n)]
	if i := slices.Index(args, "--secret"); i >= 0 {
		secret = args[i+1]
	}
	r := request{Method: http.MethodPost, URL: fmt.Sprint(p.url, "/hooks/", args[0]), Body: string(body), Headers: map[string]string{"X-Secret": secret}}
	if p.webhooks[n-1] == rewards {
		r.Method, r.URL, r.Body = http.MethodGet, r.URL+"?"+r.Body, ""
	}
	return r, nil
}

func (p *product) nameOf(n int) string { return p.apply(p.webhooks[n-1])["name"].(string) }

func (p *product) authenticates(r *http.Request, n int) bool {
	if p.webhooks[n-1] == refunds {
		return r.Header.Get("x-api-key") == fmt.Sprintf("chk_%d", n)
	}
	return p.trusting || r.Header.Get("X-Secret") == p.secrets[p.nameOf(n)]
}

func (p *product) hook(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n int
	if _, err := fmt.Sscanf(r.PathValue("id"), "wh_%d", &n); err != nil || !p.authenticates(r, n) {
		p.refused++
		http.Error(w, "not authenticated", http.StatusUnauthorized)
		return
	}
	if p.refuse != 0 {
		http.Error(w, "refused", p.refuse)
		return
	}
	if p.notYet > 0 {
		p.notYet--
		http.Error(w, "webhook_not_found", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	id := fmt.Sprintf("delivery-%d", len(p.deliveries))
	if p.webhooks[n-1] == rewards {
		p.deliveries, p.rewarded = append(p.deliveries, p.change(customer, "coins", "add", coinsRewarded)), id
		fmt.Fprint(w, cmp.Or(p.answer, r.URL.Query().Get("eventId")+":OK"))
		return
	}
	p.deliveries = append(p.deliveries, p.settle(p.webhooks[n-1], body))
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"id":%q,"status":"pending"}`, id)
}

// settle does what the demo's definitions say.
func (p *product) settle(webhook string, body []byte) map[string]any {
	var b struct {
		Action      string `json:"action"`
		PullRequest struct {
			User struct {
				Login string `json:"login"`
			} `json:"user"`
		} `json:"pull_request"`
		Data struct {
			Object struct {
				AmountTotal    int64 `json:"amount_total"`
				AmountRefunded int64 `json:"amount_refunded"`
			} `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return map[string]any{"status": "failed", "reason": "invalid_json"}
	}
	switch webhook {
	case pullRequests:
		if b.Action != "closed" {
			return map[string]any{"status": "success", "outcome": "skipped"}
		}
		if p.balances[b.PullRequest.User.Login] == nil {
			return map[string]any{"status": "failed", "reason": "user_not_found"}
		}
		return p.change(developer, "xp", "add", 50+p.bonus)
	case purchases:
		return p.change(customer, "coins", "add", b.Data.Object.AmountTotal/100)
	}
	if b.Data.Object.AmountRefunded/100 > p.balances[customer]["coins"] && !p.overdraft {
		return map[string]any{"status": "failed", "reason": "insufficient_balance"}
	}
	return p.change(customer, "coins", "subtract", b.Data.Object.AmountRefunded/100)
}

func (p *product) change(user, currency, operator string, amount int64) map[string]any {
	signed := amount
	if operator == "subtract" {
		signed = -amount
	}
	p.balances[user][currency] += signed
	return map[string]any{"status": "success", "outcome": "applied", "changes": []map[string]any{{
		"currency": currency, "operator": operator, "amount": fmt.Sprint(amount),
		"balance": big.NewInt(p.balances[user][currency]).String(),
	}}}
}
