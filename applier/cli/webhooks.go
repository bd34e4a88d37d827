package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type webhooksCmd struct {
	Apply     webhooksApplyCmd    `cmd:"" help:"Create or update webhooks from files, by community and name."`
	List      webhooksListCmd     `cmd:"" help:"List webhooks, newest first."`
	Show      webhooksShowCmd     `cmd:"" help:"Show a webhook's definition, id and URL."`
	Export    webhooksExportCmd   `cmd:"" help:"Write a webhook's definition as YAML, as apply takes it."`
	Delete    webhooksDeleteCmd   `cmd:"" help:"Delete a webhook. Its history stays, and undelete brings it back."`
	Undelete  webhooksUndeleteCmd `cmd:"" help:"Bring a deleted webhook back, with its URL and its API keys."`
	Enable    webhooksEnableCmd   `cmd:"" help:"Make a webhook active."`
	Disable   webhooksDisableCmd  `cmd:"" help:"Refuse requests to a webhook, as if it did not exist."`
	Pause     webhooksPauseCmd    `cmd:"" help:"Accept deliveries of an active webhook, and execute none until it is resumed."`
	Resume    webhooksResumeCmd   `cmd:"" help:"Execute in order what a paused webhook has accepted, and later deliveries."`
	RotateKey webhooksRotateCmd   `cmd:"" name:"rotate-key" help:"Make a new API key; the old one keeps working for a while."`
	Catch     webhooksCatchCmd    `cmd:"" help:"Print the newest sample of a draft, or the newest delivery."`
	Try       webhooksTryCmd      `cmd:"" help:"Show what the mapping would do with a payload. Changes nothing."`
	Backtest  webhooksBacktestCmd `cmd:"" help:"Show what a new definition would change for the last deliveries. Changes nothing."`
	Suggest   webhooksSuggestCmd  `cmd:"" help:"List what a payload holds, with paths for a mapping."`
	Schema    webhooksSchemaCmd   `cmd:"" help:"Print the JSON Schema of a definition, for editors."`
	Versions  webhooksVersionsCmd `cmd:"" help:"List a webhook's versions, newest first."`
	Presets   webhooksPresetsCmd  `cmd:"" help:"List the known senders; with a name, how to set one up."`

	SetSecret     webhooksSecretCmd     `cmd:"" name:"set-secret" help:"Set the secret that the sender signs with, or the password of basic authentication."`
	Rejections    webhooksRejectionsCmd `cmd:"" help:"Show which requests were refused, and why."`
	SetEncryption webhooksEncryptionCmd `cmd:"" name:"set-encryption" help:"Turn encryption of bodies on, with a new or a given key, or off."`
}

// webhookArg names a webhook.
type webhookArg struct {
	Webhook string `arg:"" name:"name-or-id" help:"The webhook's name or id."`
}

func (w webhookArg) find(a *app) (*webhooks.Service, broker.Saved, error) {
	service, err := a.webhooks()
	if err != nil {
		return nil, broker.Saved{}, err
	}
	saved, err := service.Find(a.ctx, a.community(), w.Webhook)
	return service, saved, a.webhookElsewhere(service, err, w.Webhook)
}

// webhookJSON is a webhook as programs read it.
type webhookJSON struct {
	ID      string `json:"id"`
	URL     string `json:"url"`
	Version int    `json:"version"`
	webhook.Definition
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	APIKey    string    `json:"api_key,omitempty"`
	AESKey    string    `json:"aes_key,omitempty"`
	Secret    string    `json:"secret,omitempty"`
}

func (a *app) webhookJSON(s broker.Saved) webhookJSON {
	return webhookJSON{ID: s.ID, URL: a.url(s.ID), Version: s.Version, Definition: s.Definition, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
}

// url is where senders POST to.
func (a *app) url(id string) string {
	base := cmp.Or(a.setting("", "INGRESS_URL"), defaultIngress)
	return strings.TrimRight(base, "/") + "/hooks/" + id
}

func (a *app) printSecretPairs(s webhooks.Saved) {
	a.printPairs([][2]string{{"id", s.ID}, {"url", a.url(s.ID)}, {"api key", s.APIKey}, {"aes key", s.AESKey.Reveal()}})
	if s.APIKey != "" {
		fmt.Fprintln(a.Stdout, "The key is shown only once: senders put it in the header x-api-key.")
	}
	if !s.AESKey.IsZero() {
		fmt.Fprintln(a.Stdout, "The AES key is shown only once: senders encrypt with its 32 characters and send the header x-encrypted: true.")
	}
}

type webhooksListCmd struct{ limitFlag }

func (c *webhooksListCmd) Run(a *app, service *webhooks.Service) error {
	all, err := service.List(a.ctx, a.flags.Community)
	if err != nil {
		return err
	}
	if _, err := a.sayUnreadable(service); err != nil {
		return err
	}
	slices.SortStableFunc(all, func(x, y broker.Saved) int { return y.CreatedAt.Compare(x.CreatedAt) })
	if all, err = cut(a, c.limitFlag, all); err != nil {
		return err
	}
	return printList(a, each(all, a.webhookJSON), []string{"name", "community", "state", "version", "id"}, func(w webhookJSON) []string {
		return []string{w.Name, w.Community, string(w.State), strconv.Itoa(w.Version), w.ID}
	})
}

type webhooksShowCmd struct {
	webhookArg
	versionFlag
}

func (c *webhooksShowCmd) Run(a *app) error {
	saved, err := c.findVersion(a, c.webhookArg)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(a.webhookJSON(saved))
	}
	a.printPairs([][2]string{
		{"id", saved.ID},
		{"url", a.url(saved.ID)},
		{"version", fmt.Sprintf("%d, saved %s", saved.Version, localTime(saved.UpdatedAt))},
		{"in logs", webhook.Fingerprint(saved.ID)},
		{"api keys", apiKeysText(saved)},
		{"aes keys", aesKeysText(saved)},
		{"secrets", secretsText(saved.Auth.Signature != nil, saved.SigningSecrets)},
		{"passwords", secretsText(saved.Auth.Basic != nil, saved.BasicPasswords)},
	})
	text, err := webhook.Format(saved.Definition)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "\n%s", text)
	return nil
}

func apiKeysText(s broker.Saved) string {
	if s.IsKeyless() {
		return "none: anybody who has the URL can send"
	}
	parts := make([]string, len(s.APIKeys))
	for i, k := range s.APIKeys {
		parts[i] = "made " + localTime(k.CreatedAt)
		if k.ExpiresAt != nil {
			parts[i] += ", works until " + localTime(*k.ExpiresAt)
		}
	}
	return strings.Join(parts, "; ")
}

// recordWebhook writes the audit trail about a webhook.
func (a *app) recordWebhook(what string, w broker.Saved, detail map[string]any) error {
	all := map[string]any{"name": w.Name, "community": w.Community, "version": w.Version}
	maps.Copy(all, detail)
	return a.record(what, "webhook", w.ID, all)
}

type webhooksUndeleteCmd struct {
	webhookArg
}

func (c *webhooksUndeleteCmd) Run(a *app, service *webhooks.Service) error {
	deleted, err := service.FindEver(a.ctx, a.community(), c.Webhook)
	if err != nil {
		return a.webhookElsewhere(service, err, c.Webhook)
	}
	saved, err := service.Undelete(a.ctx, deleted)
	if err != nil {
		return needsMasterKey(err)
	}
	if err := a.recordWebhook("undelete webhook", saved.Saved, nil); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(a.savedJSON(saved))
	}
	fmt.Fprintf(a.Stdout, "Webhook %q is back, version %d, %s. Its URL and its API keys work as before.\n", printable(saved.Name), saved.Version, saved.State)
	if !saved.AESKey.IsZero() {
		a.printSecretPairs(saved)
		fmt.Fprintf(a.Stdout, "It replaces the previous key. To use the sender's key again: coinhook webhooks set-encryption %s %s --aes-key-stdin\n", saved.ID, saved.Encryption)
	}
	for _, sentence := range webhooks.Missing(saved.Record) {
		a.say("%s", sentence)
	}
	fmt.Fprintf(a.Stdout, "Deliveries that failed since: coinhook dlq replay --webhook %s --reason webhook_deleted\n", saved.ID)
	return nil
}

type webhooksRotateCmd struct {
	webhookArg
	Overlap string `default:"24h" placeholder:"24h" help:"How long the old key still works, such as 24h or 7d; 0 ends it at once."`
}

func (c *webhooksRotateCmd) Run(a *app) error {
	overlap, err := parseOverlap(c.Overlap)
	if err != nil {
		return err
	}
	service, saved, err := c.find(a)
	if err != nil {
		return err
	}
	result, err := service.RotateKey(a.ctx, saved, overlap)
	if err != nil {
		return err
	}
	if err := a.recordWebhook("rotate API key", result.Saved, map[string]any{"overlap": overlap.String()}); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(a.savedJSON(result))
	}
	old := "older ones work no more"
	if overlap > 0 {
		old = "older ones work for another " + admin.AgeText(overlap)
	}
	fmt.Fprintf(a.Stdout, "Webhook %q has a new API key; %s.\n", printable(result.Name), old)
	a.printSecretPairs(result)
	return nil
}
