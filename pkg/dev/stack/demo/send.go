package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// acceptWithin is how long a refusal may last that is no final one: the ingress
// learns of a new webhook or key within milliseconds, and asks to try again
// while it is overloaded.
const acceptWithin = 10 * time.Second

// request is what a sender sends, as `coinhook sign` prints it.
type request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// requestOf is a request as its sender makes it: signed, or with the API key. forged has
// it signed with another secret.
func (d *demo) requestOf(ctx context.Context, w webhook, p planned, forged bool) (r request, err error) {
	if w.Auth.Signature == "" {
		return request{
			Method: http.MethodPost, URL: d.ingress + "/hooks/" + w.ID, Body: string(p.body),
			Headers: map[string]string{"Content-Type": "application/json", "X-Api-Key": w.key},
		}, nil
	}
	file := filepath.Join(d.dir, "demo", "body")
	if err := process.WriteFile(file, p.body, 0o644); err != nil {
		return r, err
	}
	defer os.Remove(file) // it is written again
	args := []string{"sign", w.ID, "--community", community, "-f", file}
	for _, header := range p.headers {
		args = append(args, "-H", header)
	}
	if forged {
		args = append(args, "--secret", "a guess")
	}
	return r, d.query(ctx, &r, args...)
}

// send sends a request as a third party would, and returns the delivery's id.
func (d *demo) send(ctx context.Context, p planned) (id string, err error) {
	w := d.webhooks[p.webhook]
	r, err := d.requestOf(ctx, w, p, false)
	if err != nil {
		return "", err
	}
	before := ""
	if p.answer != "" {
		if before, err = d.newest(ctx, w); err != nil {
			return "", err
		}
	}
	text, err := d.sendUntilTaken(ctx, r, p)
	if err != nil {
		return "", err
	}
	if p.answer != "" {
		return d.newerThan(ctx, w, before)
	}
	var accepted struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal([]byte(text), &accepted); err != nil || accepted.ID == "" || accepted.Status != "pending" {
		return "", fmt.Errorf(`%s %s: expected {"id":"…","status":"pending"}, came %s`, r.Method, r.URL, text)
	}
	return accepted.ID, nil
}

// sendUntilTaken returns the text of the answer. The same request may be taken later
// after some answers; one whose fate is not known must not be sent twice.
func (d *demo) sendUntilTaken(ctx context.Context, r request, p planned) (text string, err error) {
	want := http.StatusAccepted
	if p.answer != "" {
		want = http.StatusOK
	}
	ctx, cancel := context.WithTimeout(ctx, acceptWithin)
	defer cancel()
	var final error
	err = process.Await(ctx, func(ctx context.Context) error {
		var status int
		status, text, final = r.do(ctx)
		if final != nil || status == want {
			return nil
		}
		refusal := fmt.Errorf("%s %s: expected %d, came %d: %s", r.Method, r.URL, want, status, text)
		switch status {
		case http.StatusUnauthorized, http.StatusNotFound, http.StatusTooManyRequests, http.StatusServiceUnavailable:
			return refusal
		}
		final = refusal
		return nil
	})
	if err = errors.Join(final, err); err == nil && p.answer != "" && text != p.answer {
		err = fmt.Errorf("%s %s: expected the answer %q, came %q", r.Method, r.URL, p.answer, text)
	}
	return text, err
}

func (r request) do(ctx context.Context) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return 0, "", err
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, string(body), err
}

// newest returns the id of a webhook's newest delivery, "" where it has none.
func (d *demo) newest(ctx context.Context, w webhook) (string, error) {
	var list []struct {
		ID string `json:"id"`
	}
	err := d.query(ctx, &list, "deliveries", "list", "--webhook", w.ID, "--community", community, "--limit", "1")
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0].ID, nil
}

// newerThan waits for a delivery whose answer did not name it.
func (d *demo) newerThan(ctx context.Context, w webhook, before string) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	err = process.Await(ctx, func(ctx context.Context) error {
		id, err = d.newest(ctx, w)
		if err == nil && id == before {
			err = errors.New("the delivery is in no list")
		}
		return err
	})
	return id, err
}

// sendForged sends what somebody signs who does not know the secret, and waits until
// admins can read of it.
func (d *demo) sendForged(ctx context.Context) error {
	w, p := d.webhooks[pullRequests], d.sent[0].planned
	r, err := d.requestOf(ctx, w, p, true)
	if err != nil {
		return err
	}
	before, err := d.refused(ctx, w)
	if err != nil {
		return err
	}
	status, text, err := r.do(ctx)
	if err != nil {
		return fmt.Errorf("a forged request: %w", err)
	}
	if status != http.StatusUnauthorized {
		return fmt.Errorf("a forged request: expected 401, came %d: %s", status, text)
	}
	d.printf("401 %-36s  %s, with a forged signature\n\n", "invalid_signature", p.name)
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	return process.Await(ctx, func(ctx context.Context) error {
		n, err := d.refused(ctx, w)
		if err == nil && n <= before {
			err = errors.New("a forged request is not among the rejections")
		}
		return err
	})
}

// refused counts the wrong signatures at a webhook.
func (d *demo) refused(ctx context.Context, w webhook) (int, error) {
	var rejections struct {
		Counts map[string]int `json:"counts"`
	}
	err := d.query(ctx, &rejections, "webhooks", "rejections", w.ID, "--community", community)
	return rejections.Counts["invalid_signature"], err
}

// writeFile puts an embedded file where people can read it. It is written again
// each time: what the demo expects is what the demo configures.
func (d *demo) writeFile(name string) (path string, err error) {
	path = filepath.Join(d.dir, "demo", name)
	content, err := data.ReadFile("data/" + name)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, process.WriteFile(path, content, 0o644)
}

// keys are the API keys of the demo's webhooks, kept in a file.
type keys struct {
	path      string
	byWebhook map[string]string
}

func readKeys(path string) (*keys, error) {
	k := &keys{path: path, byWebhook: map[string]string{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &k.byWebhook)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read, remove it to have new keys made: %w", path, err)
	}
	if k.byWebhook == nil { // the file says null
		k.byWebhook = map[string]string{}
	}
	return k, nil
}

func (k *keys) put(webhookID, key string) error {
	if k.byWebhook[webhookID] == key {
		return nil
	}
	k.byWebhook[webhookID] = key
	text, err := json.MarshalIndent(k.byWebhook, "", "  ")
	if err != nil {
		return err
	}
	return process.WriteFile(k.path, append(text, '\n'), 0o600)
}
