package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/secret"
)

type secretsCmd struct {
	Rotate secretsRotateCmd `cmd:"" help:"Seal every secret under a new COINHOOK_MASTER_KEY."`
}

type secretsRotateCmd struct {
	OldKeyStdin bool `name:"old-key-stdin" help:"Read the old master key from the standard input. Without it, COINHOOK_MASTER_KEY must be NEW,OLD."`
}

func (c *secretsRotateCmd) Run(a *app) error {
	master, err := a.masterKey()
	if err != nil {
		return err
	}
	if master.IsZero() {
		return usageError{secret.ErrNoMasterKey}
	}
	if c.OldKeyStdin {
		before, err := a.readMasterKey()
		if err != nil {
			return err
		}
		master = master.Opening(before)
	}
	service, err := a.webhooksWith(master)
	if err != nil {
		return err
	}
	done, err := service.RotateSecrets(a.ctx)
	err = errors.Join(err, a.record("rotate secrets", "installation", "", map[string]any{
		"webhooks": done.Webhooks, "versions": done.Versions, "secrets": done.Secrets, "removed": done.Removed, "left": len(done.Left),
	}))
	if err != nil {
		a.say("Stopped after %s in %s. Run the same command again: it continues with the rest.",
			counted(done.Secrets+done.Removed, "secret"), counted(done.Versions, "version"))
		return err
	}
	if a.json() {
		err = a.printJSON(done)
	} else {
		a.printRotation(done)
	}
	if err == nil && len(done.Left) > 0 {
		return fmt.Errorf("not every secret is sealed under the new key: give each webhook that is named a new secret with "+
			"`coinhook webhooks set-secret` or `set-encryption`, or run this again with the key that sealed it (%s)", counted(len(done.Left), "case"))
	}
	return err
}

// readMasterKey reads the key of before; a terminal does not show it.
func (a *app) readMasterKey() (secret.MasterKey, error) {
	text, err := a.readHidden("The previous master key (nothing is shown):")
	if err != nil {
		return secret.MasterKey{}, err
	}
	key, err := secret.ParseMasterKey(text)
	if err != nil {
		return secret.MasterKey{}, usagef("the old key on the standard input: %w", err)
	}
	return key, nil
}

func (a *app) printRotation(done webhooks.Rotation) {
	fmt.Fprintf(a.Stdout, "%s read. %s sealed under the new key, in %s.\n",
		counted(done.Webhooks, "webhook"), counted(done.Secrets, "secret"), counted(done.Versions, "version"))
	if done.Removed > 0 {
		fmt.Fprintf(a.Stdout, "%s of deleted webhooks removed.\n", counted(done.Removed, "secret"))
	}
	for _, left := range done.Left {
		versions := strings.Trim(fmt.Sprint(left.Versions), "[]")
		fmt.Fprintf(a.Stdout, "Left as it was: %q (%s), version %s: %s.\n", printable(left.Webhook), left.ID, versions, printable(left.Cause))
	}
	if len(done.Left) == 0 {
		fmt.Fprintln(a.Stdout, "Nothing in the bucket needs another master key now. Older backups still do.")
	}
}
