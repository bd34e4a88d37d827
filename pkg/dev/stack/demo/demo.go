// Package demo shows Coinhook at work, from the outside: it configures webhooks
// with the coinhook command, sends real bodies over HTTP, and checks and prints
// what became of them.
package demo

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// community is the demo's own, apart from whatever else runs on the stack.
const community = "demo"

// settleWithin is how long a delivery may be pending before the demo gives up.
const settleWithin = 30 * time.Second

// Options say which stack the demo uses.
type Options struct {
	// Coinhook is the path of the coinhook command.
	Coinhook string
	// Env are the settings that reach the stack, as in dev.env.
	Env map[string]string
	// Dir keeps the demo's files and API keys from one run to the next.
	Dir string
	// ReadyAt is when the stack was ready.
	ReadyAt time.Time
	// Ends says that the stack does not outlive the demo.
	Ends bool
	// Out is for the person who watches.
	Out io.Writer
}

// demo is one run.
type demo struct {
	cli
	dir      string
	ingress  string
	readyAt  time.Time
	webhooks map[string]webhook // by file name
	before   map[string]balances
	sent     []sent
}

// Run runs the demo and returns an error that says what was expected and what
// came, if anything is not as it should be. It can run again on the same stack: on one
// that stays it sends its deliveries once, so that a restart moves no balances.
func Run(ctx context.Context, opts Options) error {
	d := &demo{
		cli:      cli{path: opts.Coinhook, env: opts.Env, out: opts.Out},
		dir:      opts.Dir,
		ingress:  opts.Env["INGRESS_URL"],
		readyAt:  opts.ReadyAt,
		webhooks: map[string]webhook{},
		before:   map[string]balances{},
	}
	steps := []func(context.Context) error{d.importUsers, d.applyWebhooks, d.sendAll, d.sendForged, d.show, d.check}
	if !opts.Ends && d.wasSent(ctx) {
		steps = []func(context.Context) error{d.importUsers, d.applyWebhooks, d.show}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	d.printNext(opts.Ends)
	return nil
}

func (d *demo) importUsers(ctx context.Context) error {
	d.title("A community with two users")
	file, err := d.writeFile("users.csv")
	if err != nil {
		return err
	}
	// They are there when the demo ran before.
	if !d.haveUsers(ctx) {
		if err := d.run(ctx, "users", "import", file, "--community", community, "--create-community", "--yes"); err != nil {
			return err
		}
	}
	for _, name := range users {
		if d.before[name], err = d.balances(ctx, name); err != nil {
			return err
		}
	}
	return d.run(ctx, "users", "list", "--community", community)
}

func (d *demo) haveUsers(ctx context.Context) bool {
	for _, name := range users {
		if _, err := d.balances(ctx, name); err != nil {
			return false
		}
	}
	return true
}

// wasSent reports whether an earlier start of the stack has sent the deliveries.
func (d *demo) wasSent(ctx context.Context) bool {
	var some []json.RawMessage
	return d.haveUsers(ctx) && d.query(ctx, &some, "deliveries", "list", "--community", community, "--limit", "1") == nil && len(some) > 0
}

func (d *demo) applyWebhooks(ctx context.Context) error {
	d.title("Four webhooks")
	keys, err := readKeys(filepath.Join(d.dir, "demo-keys.json"))
	if err != nil {
		return err
	}
	for _, name := range webhookFiles {
		file, err := d.writeFile(name)
		if err != nil {
			return err
		}
		w, err := d.apply(ctx, file, keys)
		if err != nil {
			return err
		}
		d.webhooks[name] = w
		method, proof := http.MethodPost, "an API key"
		if w.Auth.Signature != "" {
			proof = "the signature of " + w.Auth.Signature
		}
		if name == rewards {
			method = http.MethodGet
		}
		d.printf("%s: %s %s/hooks/%s with %s\n\n", cmp.Or(w.Name, name), method, d.ingress, w.ID, proof)
	}
	return nil
}

// sendAll sends the first delivery and waits for its outcome, to measure it,
// then the others.
func (d *demo) sendAll(ctx context.Context) error {
	d.title("Deliveries, with real bodies of GitHub and Stripe, signed as they sign")
	deliveries, err := scenario(d.before)
	if err != nil {
		return err
	}
	for i, planned := range deliveries {
		id, err := d.send(ctx, planned)
		if err != nil {
			return fmt.Errorf("%s: %w", planned.name, err)
		}
		status := http.StatusAccepted
		if planned.answer != "" {
			status = http.StatusOK
		}
		d.printf("%d %s  %s\n", status, id, planned.name)
		d.sent = append(d.sent, sent{planned: planned, id: id})
		if i > 0 {
			continue
		}
		if err := d.awaitOutcome(ctx, &d.sent[0]); err != nil {
			return err
		}
		d.printf("    (its outcome was there %.1f s after the stack was ready)\n", time.Since(d.readyAt).Seconds())
	}
	for i := range d.sent {
		if err := d.awaitOutcome(ctx, &d.sent[i]); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) awaitOutcome(ctx context.Context, s *sent) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	err := process.Await(ctx, func(ctx context.Context) error {
		s.got = result{}
		if err := d.query(ctx, &s.got, "deliveries", "show", s.id, "--community", community); err != nil {
			return err
		}
		if s.got.Status == "pending" {
			return fmt.Errorf("it is still pending after %s", settleWithin)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s, delivery %s: %w", s.planned.name, s.id, err)
	}
	return nil
}

// show prints what an admin would look at.
func (d *demo) show(ctx context.Context) error {
	if len(d.sent) > 0 {
		d.title("What became of them")
	} else {
		d.title("The newest deliveries (the demo sent its own when the stack first started)")
	}
	limit := fmt.Sprint(max(len(d.sent), 6))
	commands := [][]string{
		{"deliveries", "list", "--community", community, "--limit", limit},
		{"logs", "list", "--community", community, "--limit", "10"},
		{"users", "list", "--community", community},
	}
	if len(d.sent) > 0 {
		commands = append(commands, []string{"webhooks", "rejections", d.webhooks[pullRequests].Name, "--community", community, "--since", "1m"})
	}
	for _, args := range commands {
		if err := d.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) printNext(ends bool) {
	d.title("Send the next one")
	const body = `{"action":"closed","pull_request":{"user":{"login":"Codertocat"}}}`
	w := d.webhooks[pullRequests]
	mac := hmac.New(sha256.New, []byte(w.key)) // as GitHub does
	mac.Write([]byte(body))
	d.printf(`curl -i %s/hooks/%s \
  -H 'x-hub-signature-256: sha256=%x' -H 'content-type: application/json' \
  -d '%s'

%s deliveries list --community %s --limit 1

`, d.ingress, w.ID, mac.Sum(nil), body, d.shown(), community)
	if ends {
		d.printf("This stack ends now. `make run` starts one that stays up, and prints the same.\n")
		return
	}
	if address := d.env["CONSOLE_URL"]; address != "" {
		d.printf("The console, in a browser: %s, as %s with the password %s\n", address, d.env["CONSOLE_USER"], d.env["CONSOLE_PASSWORD"])
	}
	d.printf("The webhooks' definitions are in %s: copy one, change it, and apply it.\n", filepath.Join(d.dir, "demo"))
}
