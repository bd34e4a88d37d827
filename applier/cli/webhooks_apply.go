package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type webhooksApplyCmd struct {
	createFlag
	File   []string `short:"f" required:"" placeholder:"FILE" help:"A definition in YAML or JSON, or a folder of them; - is the standard input. May be repeated."`
	DryRun bool     `name:"dry-run" help:"Show what would change, and change nothing."`
}

// Run checks all definitions before it changes anything.
func (c *webhooksApplyCmd) Run(a *app, service *webhooks.Service) error {
	names, folder, err := a.definitionFiles(c.File)
	if err != nil {
		return err
	}
	defs, err := a.readDefinitions(service, names)
	if err != nil {
		return err
	}
	if err := c.checkNew(a, defs); err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	plans, updates, err := planAll(a, service, defs)
	if err != nil {
		return err
	}
	single := len(c.File) == 1 && !folder
	if c.DryRun {
		return a.printPlans(plans, single)
	}
	for _, p := range plans {
		if p.Change == webhooks.Updated {
			a.sayDiff(p)
		}
	}
	if updates > 0 {
		if err := a.confirm(fmt.Sprintf("Change %s?", counted(updates, "webhook"))); err != nil {
			return err
		}
	}
	return applyAll(a, service, plans, single)
}

// checkNew refuses a community that looks like a typing mistake: one that there is not,
// and whose name is like that of one there is. A definition is kept and reviewed, so that
// any other name in it is meant.
func (c *webhooksApplyCmd) checkNew(a *app, defs []webhook.Definition) error {
	if c.CreateCommunity {
		return nil
	}
	seen := map[string]bool{a.community(): true, defaultCommunity: true}
	for _, def := range defs {
		if seen[def.Community] {
			continue
		}
		seen[def.Community] = true
		known, err := a.knownCommunities(def.Community)
		switch {
		case slices.Contains(known, def.Community) || err != nil && len(known) <= 1:
		case isMistyped(def.Community, known):
			return unknownCommunity(def.Community, known, true)
		case err == nil:
			a.say("The community %q is new.", def.Community)
		}
	}
	return nil
}

// applyAll stops at the first error. It still prints what was done before,
// because an API key is shown only once.
func applyAll(a *app, service *webhooks.Service, plans []webhooks.Planned, single bool) error {
	results := make([]webhookJSON, 0, len(plans))
	var failed error
	for _, p := range plans {
		saved, err := service.ApplyPlanned(a.ctx, p)
		if err != nil {
			failed = fmt.Errorf("apply %q: %w", p.Definition.Name, needsMasterKey(err))
			if len(plans) > 1 {
				failed = fmt.Errorf("%w; %d of %d were applied before", failed, len(results), len(plans))
			}
			break
		}
		if saved.Change != webhooks.Unchanged {
			if failed = a.recordWebhook("apply webhook", saved.Saved, map[string]any{"change": saved.Change}); failed != nil {
				break
			}
		}
		results = append(results, a.savedJSON(saved))
		if !a.json() {
			fmt.Fprintf(a.Stdout, "Webhook %q in the community %q %s, version %d, %s.\n", printable(saved.Name), saved.Community, saved.Change, saved.Version, saved.State)
			a.printSecretPairs(saved)
		}
		if saved.Change != webhooks.Unchanged {
			a.warnOfCBC(saved)
		}
		for _, sentence := range webhooks.Missing(saved.Record) {
			a.say("The webhook %q: %s", printable(saved.Name), sentence)
		}
		if saved.IsKeyless() && saved.Change != webhooks.Unchanged {
			a.say("The webhook %q has no authentication: anybody who has its URL can send. Write `auth: {api_key: true}` in its definition to ask for a key, or name how the sender signs.", printable(saved.Name))
		}
	}
	switch {
	case !a.json() || single && len(results) == 0:
		return failed
	case single:
		return errors.Join(failed, a.printJSON(results[0]))
	default:
		return errors.Join(failed, a.printJSON(results))
	}
}

// definitionFiles puts the files of a folder in its place, in their order.
func (a *app) definitionFiles(args []string) (names []string, folder bool, err error) {
	for _, arg := range args {
		info, err := os.Stat(a.path(arg))
		if arg == "-" || err != nil || !info.IsDir() {
			names = append(names, arg) // what cannot be read is said when it is read
			continue
		}
		folder = true
		entries, err := os.ReadDir(a.path(arg))
		if err != nil {
			return nil, false, err
		}
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() || !isDefinitionFile(e.Name()) })
		if len(entries) == 0 {
			return nil, false, fmt.Errorf("the folder %s has no .yaml, .yml or .json file", arg)
		}
		for _, e := range entries {
			names = append(names, filepath.Join(arg, e.Name()))
		}
	}
	return names, folder, nil
}

func isDefinitionFile(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return !strings.HasPrefix(name, ".")
	}
	return false
}

// readDefinitions returns those of all files, or everything that is wrong with
// any of them.
func (a *app) readDefinitions(service *webhooks.Service, names []string) ([]webhook.Definition, error) {
	type key struct{ community, name string }
	var defs []webhook.Definition
	var refused []error
	from := map[key]string{}
	for _, name := range names {
		src, err := a.readFile(name)
		if err != nil {
			return nil, fmt.Errorf("nothing was changed: %w", err)
		}
		def, err := service.ParseIn(a.ctx, src, a.community())
		if err == nil && a.flags.Community != "" && def.Community != a.flags.Community {
			err = fmt.Errorf("community: the definition says %q, and --community %q: leave one of them out", def.Community, a.flags.Community)
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", name, err))
			continue
		}
		k := key{def.Community, def.Name}
		if other, twice := from[k]; twice {
			refused = append(refused, fmt.Errorf("%s: the webhook %q is defined by %s too", name, def.Name, other))
		}
		from[k] = name
		defs = append(defs, def)
	}
	if len(refused) > 0 {
		return nil, fmt.Errorf("nothing was changed: %w", errors.Join(refused...))
	}
	return defs, nil
}

func planAll(a *app, service *webhooks.Service, defs []webhook.Definition) (plans []webhooks.Planned, updates int, err error) {
	for _, def := range defs {
		p, err := service.Plan(a.ctx, def)
		if err != nil {
			return nil, 0, fmt.Errorf("nothing was changed: %w", err)
		}
		if p.Change == webhooks.Updated {
			updates++
		}
		plans = append(plans, p)
	}
	return plans, updates, nil
}

// planJSON is what a dry run would do, as programs read it.
type planJSON struct {
	Name      string          `json:"name"`
	Community string          `json:"community"`
	Change    webhooks.Change `json:"change"`
	Diff      string          `json:"diff"`
}

func (a *app) printPlans(plans []webhooks.Planned, single bool) error {
	results := make([]planJSON, len(plans))
	for i, p := range plans {
		results[i] = planJSON{p.Definition.Name, p.Definition.Community, p.Change, p.Diff}
		a.sayDiff(p)
	}
	switch {
	case !a.json():
		a.say("Nothing was changed.")
		return nil
	case single:
		return a.printJSON(results[0])
	default:
		return a.printJSON(results)
	}
}

// stateMeans is what becomes of requests.
var stateMeans = map[webhook.State]string{
	webhook.Draft:    "requests are kept as samples and never executed.",
	webhook.Active:   "requests are executed.",
	webhook.Paused:   "requests are accepted, and executed once it is resumed.",
	webhook.Disabled: "requests are answered with 404.",
}

// sayDiff shows what is about to change.
func (a *app) sayDiff(p webhooks.Planned) {
	a.say("Webhook %q in the community %q: %s", printable(p.Definition.Name), printable(p.Definition.Community), p.Change)
	if from, to, changes := p.StateChange(); changes {
		a.say("Its state changes from %s to %s: %s", from, to, stateMeans[to])
	}
	if p.Diff != "" {
		a.say("%s", printableText(strings.TrimSuffix(p.Diff, "\n")))
	}
}
