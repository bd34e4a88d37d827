package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The JSON of the coinhook command, as far as tests look at it.
type (
	deliveryJSON struct {
		ID          string       `json:"id"`
		WebhookID   string       `json:"webhook_id"`
		Webhook     string       `json:"webhook"`
		Community   string       `json:"community"`
		Status      string       `json:"status"`
		Outcome     string       `json:"outcome"`
		Reason      string       `json:"reason"`
		Detail      string       `json:"detail"`
		User        *userRefJSON `json:"user"`
		Changes     []changeJSON `json:"changes"`
		Fields      []fieldJSON  `json:"fields"`
		ReceivedAt  time.Time    `json:"received_at"`
		FinishedAt  *time.Time   `json:"finished_at"`
		Attempts    int          `json:"attempts"`
		Replays     int          `json:"replays"`
		DuplicateOf *string      `json:"duplicate_of"`
		Version     int          `json:"version"`
		Headers     []headerJSON `json:"headers"`
		Payload     *string      `json:"payload"`
		PayloadB64  []byte       `json:"payload_base64"`
		Decrypted   *string      `json:"decrypted_payload"`
		Pending     *pendingJSON `json:"pending"`

		WaitingReplay *struct{ Why string } `json:"waiting_replay"`
	}
	pendingJSON struct {
		Overdue  bool       `json:"overdue"`
		State    string     `json:"state"`
		Since    *time.Time `json:"since"`
		Attempts *int       `json:"attempts"`
		Why      *string    `json:"why"`
		Detail   *string    `json:"detail"`
	}
	headerJSON struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	userRefJSON struct {
		ID       string `json:"id"`
		Email    string `json:"email"`
		Username string `json:"username"`
	}
	changeJSON struct {
		Currency string `json:"currency"`
		Operator string `json:"operator"`
		Amount   string `json:"amount"`
		Balance  string `json:"balance"`
	}
	fieldJSON struct {
		Field string `json:"field"`
		Value string `json:"value"`
	}
	userJSON struct {
		ID        string            `json:"id"`
		Community string            `json:"community"`
		Email     string            `json:"email"`
		Username  string            `json:"username"`
		Balances  map[string]string `json:"balances"`
		Fields    map[string]string `json:"fields"`
	}
	webhookJSON struct {
		ID      string `json:"id"`
		URL     string `json:"url"`
		Name    string `json:"name"`
		State   string `json:"state"`
		Version int    `json:"version"`
		APIKey  string `json:"api_key"`
		AESKey  string `json:"aes_key"`
	}
	logJSON struct {
		User       userRefJSON `json:"user"`
		Currency   string      `json:"currency"`
		Operator   string      `json:"operator"`
		Amount     string      `json:"amount"`
		Balance    string      `json:"balance"`
		Action     string      `json:"action"`
		DeliveryID string      `json:"delivery_id"`
		At         time.Time   `json:"at"`
	}
	importJSON struct {
		Added   int `json:"added"`
		Updated int `json:"updated"`
		Known   int `json:"known"`
		Bad     []struct {
			Line    int    `json:"line"`
			Problem string `json:"problem"`
		} `json:"bad"`
	}
)

// command is one run of the coinhook command.
type command struct {
	code           int
	stdout, stderr string
}

// run runs the coinhook command in a folder, with the settings given added to
// the environment.
func run(t *testing.T, dir string, env map[string]string, stdin string, args ...string) command {
	t.Helper()
	return runFrom(t, binDir, dir, env, stdin, args...)
}

// runFrom is run with the command of another folder of programs.
func runFrom(t *testing.T, bin, dir string, env map[string]string, stdin string, args ...string) command {
	t.Helper()
	cmd := exec.CommandContext(withDeadline(t), filepath.Join(bin, "coinhook"), args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("coinhook %s: %v", strings.Join(args, " "), err)
	}
	return command{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
}

// coinhook runs the coinhook command on the stack.
func (s *stack) coinhook(t *testing.T, args ...string) command {
	t.Helper()
	return runFrom(t, s.bin, s.Dir(), s.Env(), "", args...)
}

// query runs a command that must succeed and have nothing but JSON on stdout.
func (s *stack) query(t *testing.T, into any, args ...string) {
	t.Helper()
	s.queryWith(t, "", into, args...)
}

func (s *stack) queryWith(t *testing.T, stdin string, into any, args ...string) {
	t.Helper()
	got := runFrom(t, s.bin, s.Dir(), s.Env(), stdin, append(args, "-o", "json", "--yes")...)
	if got.code != 0 {
		t.Fatalf("coinhook %s: exit %d\n%s", strings.Join(args, " "), got.code, got.stderr)
	}
	if err := json.Unmarshal([]byte(got.stdout), into); err != nil {
		t.Fatalf("coinhook %s: %v in\n%s", strings.Join(args, " "), err, got.stdout)
	}
}

func (s *stack) show(t *testing.T, id string) deliveryJSON {
	t.Helper()
	var d deliveryJSON
	s.query(t, &d, "deliveries", "show", id)
	return d
}

// list returns deliveries, narrowed by the flags given.
func (s *stack) list(t *testing.T, flags ...string) []deliveryJSON {
	t.Helper()
	var all []deliveryJSON
	s.query(t, &all, append([]string{"deliveries", "list"}, flags...)...)
	return all
}

// settled waits until a delivery has its outcome, and returns it.
func (s *stack) settled(t *testing.T, id string) deliveryJSON {
	t.Helper()
	s.awaitRows(t, id)
	return s.show(t, id)
}

// awaitRows waits until deliveries have their outcomes.
func (s *stack) awaitRows(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		eventually(t, func(ctx context.Context) error {
			var status string
			err := s.db.QueryRowContext(ctx, "SELECT status FROM outcomes WHERE delivery_id = $1", id).Scan(&status)
			if err != nil {
				return errors.Join(errors.New("no outcome of "+id), err)
			}
			return nil
		})
	}
}

// wantNonePending waits until the whole stack has nothing pending. Servers of a cluster
// may still be electing a leader: then the command asks to try again.
func (s *stack) wantNonePending(t *testing.T) {
	t.Helper()
	eventually(t, func(context.Context) error {
		got := s.coinhook(t, "deliveries", "list", "--status", "pending", "--limit", "3", "-o", "json")
		if got.code != 0 {
			return errors.New(got.stderr)
		}
		var pending []deliveryJSON
		if err := json.Unmarshal([]byte(got.stdout), &pending); err != nil || len(pending) > 0 {
			return errors.Join(err, fmt.Errorf("still pending, among others: %+v", pending))
		}
		return nil
	})
}
