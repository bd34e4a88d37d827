package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type webhooksExportCmd struct {
	Webhook string `arg:"" optional:"" name:"name-or-id" help:"The webhook's name or id."`
	versionFlag
	All   string `placeholder:"DIR" help:"Write all webhooks into this folder instead, one file each."`
	Force bool   `help:"With --all, overwrite files whose content differs."`
}

func (c *webhooksExportCmd) Run(a *app) error {
	if (c.Webhook == "") == (c.All == "") || c.All != "" && c.Version != 0 {
		return usagef("export one webhook by name or id, or all with --all DIR")
	}
	if c.All != "" {
		return exportAll(a, c.All, c.Force)
	}
	saved, err := c.findVersion(a, webhookArg{c.Webhook})
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(saved.Definition)
	}
	text, err := webhook.Format(saved.Definition)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "%s", text)
	return nil
}

// exportedJSON says where a definition was written.
type exportedJSON struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Community string `json:"community"`
	File      string `json:"file"`
}

func exportAll(a *app, dir string, force bool) error {
	service, err := a.webhooks()
	if err != nil {
		return err
	}
	all, err := service.List(a.ctx, a.flags.Community)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	results := make([]exportedJSON, 0, len(all))
	for _, saved := range all {
		text, err := webhook.Format(saved.Definition)
		if err != nil {
			return err
		}
		name := exportName(saved)
		if files[filepath.Join(dir, name+".yaml")] != nil {
			name += "." + saved.ID
		}
		file := filepath.Join(dir, name+".yaml")
		if now, err := os.ReadFile(a.path(file)); err == nil && !force && !bytes.Equal(now, text) {
			return fmt.Errorf("nothing was written: %s exists and has other content. --force overwrites it", file)
		}
		files[file] = text
		results = append(results, exportedJSON{saved.ID, saved.Name, saved.Community, file})
	}
	if err := os.MkdirAll(a.path(dir), 0o755); err != nil {
		return err
	}
	for _, r := range results {
		if err := os.WriteFile(a.path(r.File), files[r.File], 0o644); err != nil {
			return err
		}
		if !a.json() {
			fmt.Fprintln(a.Stdout, printable(r.File))
		}
	}
	if a.json() {
		err = a.printJSON(results)
	} else {
		a.say("%s written.", counted(len(all), "definition"))
	}
	if err != nil {
		return err
	}
	left, err := a.sayUnreadable(service)
	if err == nil && left > 0 { // a backup that lacks something must not look whole
		err = fmt.Errorf("%s could not be written", counted(left, "definition"))
	}
	return err
}

// exportName is a webhook's name as every file system takes it, after that of a
// community other than the default one.
func exportName(saved broker.Saved) string {
	name := slug(saved.Name)
	if name == "" {
		name = saved.ID
	}
	if saved.Community != defaultCommunity {
		name = slug(saved.Community) + "." + name
	}
	return name
}

func slug(s string) string {
	const most = 80
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case b.Len() >= most:
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}
