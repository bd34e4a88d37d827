package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/applier/cmd/coinhook/serve"
)

// serveConsole runs `coinhook console` on a free port until the test ends.
func (i *installation) serveConsole() (url string) {
	i.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	logs, stderr := io.Pipe()
	env := map[string]string{"CONSOLE_ADDR": "127.0.0.1:0"}
	for name, value := range i.env {
		env[name] = value
	}
	done := make(chan int, 1)
	go func() {
		done <- cli.Run(ctx, cli.Process{Args: []string{"console"}, Env: env, Dir: i.dir, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: stderr, Console: serve.Console})
		stderr.Close() // it never fails
	}()
	i.t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			i.t.Errorf("the console ended with %d", code)
		}
	})
	lines := bufio.NewScanner(logs)
	for lines.Scan() {
		var line struct{ URL, Message string }
		if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.Message == "listening" {
			go io.Copy(io.Discard, logs) // until the console ends
			return line.URL
		}
	}
	i.t.Fatal("the console does not listen")
	return ""
}

func TestTheConsoleServesTheReadAPI(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var token tokenJSON
	i.json(&token, "tokens", "add", "reports")
	i.json(new(map[string]any), "users", "add", "--email", "alice@example.com")
	url := i.serveConsole()
	client := &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, tc := range []struct {
		method, path, body, token, want string
		status                          int
	}{
		{"GET", "/apis/v1/users", "", token.Token, `"email":"alice@example.com"`, 200},
		{"POST", "/apis/v1/users/info", `{"idOrEmail":"alice@example.com"}`, token.Token, `"xpEarnedToday":0`, 200},
		{"POST", "/apis/v1/users/info", `{"idOrEmail":"alice@example.com"}`, "", `"code":"invalid_token"`, 401},
		{"GET", "/apis/v1/deliveries", "", "", `"code":"invalid_token"`, 401},
		{"DELETE", "/apis/v1/users/alice", "", token.Token, `"code":"method_not_allowed"`, 405},
		{"GET", "/apis/nothing", "", "", `"code":"not_found"`, 404},
		{"GET", "/openapi.json", "", "", `"openapi"`, 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tc.method, url+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if tc.token != "" {
			r.Header.Set("Authorization", "Bearer "+tc.token)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close() // it was only read
		if err != nil || answer.StatusCode != tc.status || !strings.Contains(string(body), tc.want) {
			t.Errorf("%s %s answers %d %s, %v", tc.method, tc.path, answer.StatusCode, body, err)
		}
	}
}
