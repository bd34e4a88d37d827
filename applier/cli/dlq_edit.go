package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// edit has a person change what the one dead letter runs with.
func (c *dlqReplayCmd) edit(a *app, request *replay.Request) error {
	db, err := a.database()
	if err != nil {
		return err
	}
	id := request.Filter.IDs[0]
	d, payload, err := db.DeadLetters().Body(a.ctx, id)
	if err != nil {
		return err
	}
	if d == nil {
		return fmt.Errorf("%s is not a dead letter", id)
	}
	if payload == nil {
		if payload, err = a.openPayload(*d); err != nil {
			return err
		}
	}
	if err := a.record(showsPayload, "delivery", id.String(), map[string]any{"to": "edit"}); err != nil {
		return err
	}
	edited, err := a.editText(id.String()+".json", payload)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(payload, []byte("\n")) { // most editors add one, which is a part of a form's last value
		edited = bytes.TrimRight(edited, "\r\n")
	}
	if bytes.Equal(edited, payload) {
		return errors.New("the payload was not changed: nothing was replayed")
	}
	if len(edited) > maxFileBytes/2 {
		return fmt.Errorf("the payload has %d bytes, %d are allowed at most", len(edited), maxFileBytes/2)
	}
	request.Edited = edited
	return nil
}

// openPayload is what the mapping reads of a delivery, decrypted where it is encrypted.
func (a *app) openPayload(d delivery.Delivery) ([]byte, error) {
	conn, err := a.broker()
	if err != nil {
		return nil, err
	}
	saved, err := broker.NewDefinitions(conn).Get(a.ctx, d.WebhookID)
	if err != nil && (d.SaysEncrypted() || !errors.Is(err, broker.ErrWebhookNotFound)) {
		return nil, err
	}
	if !d.SaysEncrypted() {
		return sample.Sent(saved.Definition, mapping.InputOf(&d, d.Body)), nil
	}
	open, err := a.openBody()
	if err != nil {
		return nil, err
	}
	payload, err := open(a.ctx, saved, d)
	if err != nil {
		return nil, fmt.Errorf("the payload cannot be edited: %w", err)
	}
	a.say("The payload came encrypted. Your text is kept as you save it, not encrypted.")
	return payload, nil
}

// editText opens a text in the editor and returns what was saved. Nobody else
// can read the file, which is deleted afterwards.
func (a *app) editText(name string, text []byte) ([]byte, error) {
	editor := cmp.Or(a.Env["VISUAL"], a.Env["EDITOR"])
	if editor == "" && !a.Interactive {
		return nil, usagef("--edit needs an editor: name one in EDITOR")
	}
	dir, err := os.MkdirTemp("", "coinhook-edit-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // nothing else can be done about it
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	editor = cmp.Or(editor, "vi")
	cmd := exec.CommandContext(a.ctx, "sh", "-c", editor+` "$1"`, "sh", file) // the editor is the user's own choice
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.Stdin, a.Stderr, a.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the editor %q ended with an error, nothing was replayed: %w", editor, err)
	}
	return os.ReadFile(file)
}
