package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// masterKey reads the setting; the zero key stands for none.
func (a *app) masterKey() (secret.MasterKey, error) {
	text := a.setting("", secret.MasterKeyVariable)
	if text == "" {
		return secret.MasterKey{}, nil
	}
	key, err := secret.ParseMasterKey(text)
	if err != nil {
		return secret.MasterKey{}, usagef("%s: %w", secret.MasterKeyVariable, err)
	}
	return key, nil
}

// needsMasterKey makes the lack of a setting bad usage, as for the others.
func needsMasterKey(err error) error {
	if errors.Is(err, secret.ErrNoMasterKey) {
		return usageError{err}
	}
	return err
}

type webhooksEncryptionCmd struct {
	webhookArg
	Mode    string `arg:"" enum:"gcm,cbc,none" help:"AES-256 in this mode: gcm or cbc; none turns encryption off."`
	AESKey  string `name:"aes-key" xor:"key" placeholder:"K" help:"The key, exactly 32 printable ASCII characters. Without it Coinhook makes one. Others on this machine can see the flag: prefer --aes-key-stdin."`
	AESFrom bool   `name:"aes-key-stdin" xor:"key" help:"Read the key from the standard input."`
	Overlap string `default:"24h" placeholder:"24h" help:"How long the old key still works, such as 24h or 7d; 0 ends it at once."`
}

func (c *webhooksEncryptionCmd) Run(a *app) error {
	overlap, err := parseOverlap(c.Overlap)
	if err != nil {
		return err
	}
	key, err := c.givenKey(a)
	if err != nil {
		return err
	}
	service, saved, err := c.find(a)
	if err != nil {
		return err
	}
	result, err := service.SetEncryption(a.ctx, saved, webhook.Encryption(c.Mode), key, overlap)
	if err != nil {
		return needsMasterKey(err)
	}
	if err := a.recordWebhook("set encryption", result.Saved, map[string]any{"encryption": c.Mode, "overlap": overlap.String()}); err != nil {
		return err
	}
	a.warnOfCBC(result)
	if key.IsWeak() {
		a.say("The key has very few different characters and may be easy to guess. Let Coinhook make one, or ask the sender for a random one.")
	}
	if a.json() {
		return a.printJSON(a.savedJSON(result))
	}
	fmt.Fprintf(a.Stdout, "Webhook %q %s, version %d: %s.\n", printable(result.Name), result.Change, result.Version, encryptionText(result.Record))
	a.printSecretPairs(result)
	return nil
}

// givenKey returns the key that the sender has already, or the zero key.
func (c *webhooksEncryptionCmd) givenKey(a *app) (key secret.AESKey, err error) {
	flag, text := "--aes-key", c.AESKey
	if c.AESFrom {
		flag = "--aes-key-stdin"
		if text, err = a.readSecret(); err != nil {
			return key, err
		}
	} else if text == "" {
		return key, nil
	}
	if c.Mode == string(webhook.NoEncryption) {
		return key, usagef("%s is for gcm and cbc: the mode none has no key", flag)
	}
	if key, err = secret.ParseAESKey(text); err != nil {
		return key, usagef("%s: %w", flag, err)
	}
	return key, nil
}

func (a *app) warnOfCBC(s webhooks.Saved) {
	if warning := webhooks.CBCWarning(s.Definition); warning != "" {
		a.say("The webhook %q: %s", printable(s.Name), warning)
	}
}

func encryptionText(rec webhook.Record) string {
	if !rec.Encryption.IsOn() {
		return "bodies are not encrypted"
	}
	text := "bodies are encrypted with AES-256-" + strings.ToUpper(string(rec.Encryption))
	for _, k := range rec.AESKeys {
		if k.ExpiresAt != nil && k.Valid(time.Now()) {
			return text + ", an older key works until " + localTime(*k.ExpiresAt)
		}
	}
	return text
}

// savedJSON is a webhook with the secrets that were made with it.
func (a *app) savedJSON(s webhooks.Saved) webhookJSON {
	j := a.webhookJSON(s.Saved)
	j.APIKey, j.AESKey, j.Secret = s.APIKey, s.AESKey.Reveal(), s.Secret
	return j
}

func aesKeysText(s broker.Saved) string {
	var parts []string
	for _, k := range s.AESKeys {
		switch {
		case k.ExpiresAt == nil:
			parts = append(parts, fmt.Sprintf("%s, one of %s", k.Mode, localTime(k.CreatedAt)))
		case k.Valid(time.Now()):
			parts = append(parts, fmt.Sprintf("%s, one of %s, works until %s", k.Mode, localTime(k.CreatedAt), localTime(*k.ExpiresAt)))
		}
	}
	return strings.Join(parts, "; ")
}

// decrypted returns the payload of a delivery whose body is encrypted, nil where
// there is nothing to decrypt or no key to do it.
func (a *app) decrypted(h *history.History, full history.Full) (*string, error) {
	master, err := a.masterKey()
	if err != nil || master.IsZero() {
		return nil, err
	}
	payload, locked, err := h.Decrypted(a.ctx, full, sealed.NewPayloads(master))
	if locked != nil {
		a.say("The payload is not decrypted: %s.", locked)
	}
	if err != nil || payload == nil || !utf8.Valid(payload) {
		return nil, err
	}
	return new(string(payload)), nil
}
