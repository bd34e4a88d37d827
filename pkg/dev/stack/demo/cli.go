package demo

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// commandWithin bounds one run of the coinhook command.
const commandWithin = 30 * time.Second

// cli runs the coinhook command.
type cli struct {
	path string
	env  map[string]string
	out  io.Writer
}

// run shows a command and its output.
func (c *cli) run(ctx context.Context, args ...string) error {
	c.printCommand(args)
	out, err := c.output(ctx, args...)
	if err != nil {
		return err
	}
	c.printf("%s\n", out)
	return nil
}

// query runs a command for its JSON, unseen.
func (c *cli) query(ctx context.Context, into any, args ...string) error {
	out, err := c.output(ctx, append(args, "-o", "json", "--yes")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("coinhook %s: its output is not the JSON that was expected: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (c *cli) output(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	return process.Output(ctx, process.Spec{
		Name: "coinhook", Path: c.path, Args: args, Env: append(os.Environ(), process.KeyValues(c.env)...),
	})
}

func (c *cli) balances(ctx context.Context, user string) (balances, error) {
	var shown struct {
		Balances balances `json:"balances"`
	}
	err := c.query(ctx, &shown, "users", "show", user, "--community", community)
	return shown.Balances, err
}

// webhook is one that was applied.
type webhook struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	APIKey string `json:"api_key"`
	Auth   struct {
		Signature string `json:"signature"` // the sender's preset
	} `json:"auth"`
	key string // the API key, or the secret of signatures
}

// apply creates or updates a webhook. Its API key is shown only when it is made, and its
// secret never: keys has those of earlier runs, and what is lost there is made again.
func (c *cli) apply(ctx context.Context, file string, keys *keys) (webhook, error) {
	args := []string{"webhooks", "apply", "-f", file}
	c.printCommand(args)
	var w webhook
	if err := c.query(ctx, &w, args...); err != nil {
		return webhook{}, err
	}
	if w.ID == "" {
		return webhook{}, errors.New("coinhook webhooks apply: its JSON has no id")
	}
	w.key = cmp.Or(w.APIKey, keys.byWebhook[w.ID])
	if w.key == "" {
		var err error
		if w.key, err = c.newKey(ctx, w); err != nil {
			return webhook{}, err
		}
	}
	return w, keys.put(w.ID, w.key)
}

// newKey has a new API key made, or sets a secret as the sender would show it.
func (c *cli) newKey(ctx context.Context, w webhook) (string, error) {
	if w.Auth.Signature != "" {
		secret := rand.Text()
		args := []string{"webhooks", "set-secret", w.Name, "--community", community, "--secret", secret}
		c.printCommand(args)
		_, err := c.output(ctx, args...)
		return secret, err
	}
	args := []string{"webhooks", "rotate-key", w.ID, "--community", community}
	c.printCommand(args)
	var rotated webhook
	if err := c.query(ctx, &rotated, args...); err != nil {
		return "", err
	}
	if rotated.APIKey == "" {
		return "", errors.New("coinhook webhooks rotate-key: its JSON has no api_key")
	}
	return rotated.APIKey, nil
}

func (c *cli) printf(format string, args ...any) { fmt.Fprintf(c.out, format, args...) }

func (c *cli) title(text string) { c.printf("# %s\n\n", text) }

func (c *cli) printCommand(args []string) {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = relative(arg)
		if strings.ContainsAny(quoted[i], " '\"$&|;<>()*?") {
			quoted[i] = "'" + strings.ReplaceAll(quoted[i], "'", `'\''`) + "'"
		}
	}
	c.printf("$ coinhook %s\n", strings.Join(quoted, " "))
}

// shown is the command as a person can type it here.
func (c *cli) shown() string { return relative(c.path) }

// relative shortens a path below the current folder.
func relative(path string) string {
	if !filepath.IsAbs(path) {
		return path
	}
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(here, path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	return rel
}
