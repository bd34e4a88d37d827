package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// acceptWithin is how long a refusal may last that is no final one: the ingress
// learns of a new webhook or key within milliseconds, and asks to try again
// while it is overloaded.
const acceptWithin = 10 * time.Second

// send posts a body as a third party would, and returns the delivery's id.
func (d *demo) send(ctx context.Context, w webhook, body []byte) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, acceptWithin)
	defer cancel()
	var final error
	err = process.Await(ctx, func(ctx context.Context) error {
		var again bool
		id, again, err = post(ctx, d.ingress+"/hooks/"+w.ID, w.key, body)
		if err != nil && !again {
			final = err
			return nil
		}
		return err
	})
	return id, errors.Join(final, err)
}

// post sends one request. again says that the same one may be taken later; a
// request whose fate is not known must not be sent twice.
func post(ctx context.Context, url, key string, body []byte) (id string, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", false, err
	}
	if resp.StatusCode != http.StatusAccepted {
		switch resp.StatusCode {
		case http.StatusUnauthorized, http.StatusNotFound, http.StatusTooManyRequests, http.StatusServiceUnavailable:
			again = true
		}
		return "", again, fmt.Errorf("POST %s: expected 202, came %s: %s", url, resp.Status, text)
	}
	var accepted struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(text, &accepted); err != nil || accepted.ID == "" || accepted.Status != "pending" {
		return "", false, fmt.Errorf(`POST %s: expected {"id":"…","status":"pending"}, came %s`, url, text)
	}
	return accepted.ID, false, nil
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
