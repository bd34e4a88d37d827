package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/secret"
)

type webhooksSecretCmd struct {
	webhookArg
	Secret  string            `xor:"secret" placeholder:"S" help:"The secret, as the sender shows it. Without it Coinhook makes one. Others on this machine can see the flag: prefer --secret-stdin."`
	Stdin   bool              `name:"secret-stdin" xor:"secret" help:"Read the secret from the standard input."`
	For     webhooks.SecretOf `enum:"signature,basic," default:"" placeholder:"signature|basic" help:"What the secret is for, if the webhook has both. Default: the signature."`
	Overlap string            `default:"24h" placeholder:"24h" help:"How long the old secret still works, such as 24h or 7d; 0 ends it at once."`
}

func (c *webhooksSecretCmd) Run(a *app) error {
	overlap, err := parseOverlap(c.Overlap)
	if err != nil {
		return err
	}
	service, saved, err := c.find(a)
	if err != nil {
		return err
	}
	of := c.For
	if of == "" {
		of = webhooks.SecretWanted(saved.Auth)
	}
	text, err := c.given(a)
	if err != nil {
		return err
	}
	result, err := service.SetSecret(a.ctx, saved, of, text, overlap)
	var form *webhooks.SecretFormError
	switch {
	case errors.As(err, &form), errors.Is(err, webhooks.ErrGiveSecret):
		return usageError{err}
	case err != nil:
		return needsMasterKey(err)
	}
	if result.Change != webhooks.Unchanged {
		if err := a.recordWebhook("set secret", result.Saved, map[string]any{"for": of, "overlap": overlap.String()}); err != nil {
			return err
		}
	}
	if a.json() {
		return a.printJSON(a.savedJSON(result))
	}
	c.print(a, result, of, overlap)
	return nil
}

// given returns the secret that the sender or the admin has already, or "".
func (c *webhooksSecretCmd) given(a *app) (string, error) {
	if !c.Stdin {
		return c.Secret, nil
	}
	text, err := a.readHidden("The secret (nothing is shown):")
	if err == nil && text == "" {
		return "", usagef("--secret-stdin: there is nothing on the standard input")
	}
	return text, err
}

func (c *webhooksSecretCmd) print(a *app, result webhooks.Saved, of webhooks.SecretOf, overlap time.Duration) {
	what, where := "signing secret", "Set it at the sender, too."
	if of == webhooks.OfBasic {
		what, where = "password", fmt.Sprintf("The sender sends it with the username %s.", printable(result.Auth.Basic.Username))
	}
	if result.Change == webhooks.Unchanged {
		fmt.Fprintf(a.Stdout, "Webhook %q has this %s already, version %d: nothing was changed.\n", printable(result.Name), what, result.Version)
		return
	}
	old := ""
	kept := result.SigningSecrets
	if of == webhooks.OfBasic {
		kept = result.BasicPasswords
	}
	switch {
	case len(kept) < 2:
	case overlap > 0:
		old = "; older ones work for another " + admin.AgeText(overlap)
	default:
		old = "; older ones work no more"
	}
	fmt.Fprintf(a.Stdout, "Webhook %q has a new %s, version %d%s.\n", printable(result.Name), what, result.Version, old)
	if result.Secret != "" {
		a.printPairs([][2]string{{"secret", result.Secret}})
		fmt.Fprintln(a.Stdout, "It is shown this once. "+where)
	}
	for _, sentence := range webhooks.Missing(result.Record) {
		a.say("%s", sentence)
	}
}

// secretsText says which secrets of a kind a webhook has, and shows none.
func secretsText(isWanted bool, kept []secret.SealedText) string {
	if isWanted && len(kept) == 0 {
		return "none: requests are answered 503 until set-secret"
	}
	var parts []string
	for _, k := range kept {
		switch {
		case k.ExpiresAt == nil:
			parts = append(parts, "one of "+localTime(k.CreatedAt))
		case k.Valid(time.Now()):
			parts = append(parts, fmt.Sprintf("one of %s, works until %s", localTime(k.CreatedAt), localTime(*k.ExpiresAt)))
		}
	}
	return strings.Join(parts, "; ")
}
