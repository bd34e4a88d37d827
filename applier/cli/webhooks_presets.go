package cli

import (
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type webhooksPresetsCmd struct {
	Name   string `arg:"" optional:"" name:"preset" help:"A preset's name: what to click at the sender, a definition and a sample, as apply takes them."`
	Sample bool   `help:"Print only the sample, for try, sign and suggest."`
}

// Help is an example.
func (webhooksPresetsCmd) Help() string {
	return "For example:\n\n  coinhook webhooks presets stripe > stripe.yaml\n  coinhook webhooks presets stripe --sample > sample.json\n" +
		"  coinhook webhooks apply -f stripe.yaml\n  coinhook webhooks try \"Stripe payments\" -f sample.json"
}

// presetJSON is a preset as programs read it.
type presetJSON struct {
	Name       string              `json:"name"`
	Title      string              `json:"title"`
	Group      string              `json:"group"`
	About      string              `json:"about"`
	Docs       string              `json:"docs"`
	Algorithm  signature.Algorithm `json:"algorithm"`
	Challenge  string              `json:"challenge,omitempty"`
	Secret     secretHintJSON      `json:"secret"`
	Setup      []string            `json:"setup,omitempty"`
	Definition *webhook.Definition `json:"definition,omitempty"`
	Sample     *sampleJSON         `json:"sample,omitempty"`
}

type secretHintJSON struct {
	Name    string `json:"name"`
	Example string `json:"example"`
	// Public: it is a public key, so only the sender can sign.
	Public bool `json:"public"`
	// Chosen: the person chooses it, and gives it to the sender.
	Chosen bool `json:"chosen"`
}

type sampleJSON struct {
	Method      string            `json:"method"`
	Query       string            `json:"query,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        string            `json:"body,omitempty"`
}

func (c *webhooksPresetsCmd) Run(a *app) error {
	if c.Name == "" {
		if c.Sample {
			return usagef("name the preset whose sample you want, as in `coinhook webhooks presets stripe --sample`")
		}
		return listPresets(a)
	}
	preset, ok := signature.Find(strings.ToLower(c.Name))
	if !ok {
		return fmt.Errorf("the preset %q is not known; there are %s. Others can be described in the long form: docs/guide/senders/README.md",
			c.Name, strings.Join(signature.Names(), ", "))
	}
	if c.Sample {
		_, err := fmt.Fprintln(a.Stdout, sampleText(preset))
		return err
	}
	if a.json() {
		return printPreset(a, preset)
	}
	_, err := fmt.Fprint(a.Stdout, presetText(preset))
	return err
}

func listPresets(a *app) error {
	list := each(signature.Names(), func(name string) presetJSON {
		p, _ := signature.Find(name)
		return newPresetJSON(p)
	})
	return printList(a, list, []string{"name", "sender", "signs with", "its secret", "handshake"}, func(p presetJSON) []string {
		return []string{p.Name, p.Title, string(p.Algorithm), p.Secret.Name, p.Challenge}
	})
}

func newPresetJSON(p signature.Preset) presetJSON {
	return presetJSON{
		Name: p.Name, Title: p.Title, Group: p.Group, About: p.About, Docs: p.Docs, Algorithm: p.Spec.Algorithm, Challenge: p.Receive.Challenge,
		Secret: secretHintJSON(p.Secret),
	}
}

func printPreset(a *app, p signature.Preset) error {
	def, err := webhook.Parse([]byte(p.Definition))
	if err != nil {
		return err
	}
	all := newPresetJSON(p)
	all.Setup, all.Definition = p.Setup, &def
	all.Sample = &sampleJSON{p.Sample.Method, p.Sample.Query, p.Sample.ContentType, p.Sample.Header, p.Sample.Body}
	return a.printJSON(all)
}

// sampleText is what the mapping reads.
func sampleText(p signature.Preset) string {
	if p.Sample.Query != "" {
		return p.Sample.Query
	}
	return p.Sample.Body
}

// presetText is one YAML file that apply takes: all but the definition stands in
// comments.
func presetText(p signature.Preset) string {
	var b strings.Builder
	name := p.Name
	if def, err := webhook.Parse([]byte(p.Definition)); err == nil {
		name = def.Name
	}
	fmt.Fprintf(&b, "# %s: %s\n#\n# 1. Adapt this file, and create the webhook: coinhook webhooks apply -f %s.yaml\n", p.Title, p.Docs, p.Name)
	for i, step := range p.Setup {
		fmt.Fprintf(&b, "# %d. %s\n", i+2, step)
	}
	kind := "secret"
	if p.Secret.Public {
		kind = "public key"
	}
	fmt.Fprintf(&b, "#\n# To set the %s (%s: %s): coinhook webhooks set-secret %s --secret-stdin\n", kind, p.Secret.Name, p.Secret.Example, shellQuote(name))
	file := p.Name + "-sample." + sampleExtension(p)
	fmt.Fprintf(&b, "# To test: coinhook webhooks presets %s --sample > %s\n", p.Name, file)
	if p.Secret.Public {
		fmt.Fprintf(&b, "#          coinhook webhooks try %s -f %s\n", shellQuote(name), file)
	} else {
		fmt.Fprintf(&b, "#          coinhook sign %s -f %s\n", shellQuote(name), file)
	}
	fmt.Fprintf(&b, "\n%s\n\n# The sample that it maps:\n#\n", p.Definition)
	for line := range strings.SplitSeq(sampleText(p), "\n") {
		fmt.Fprintf(&b, "#   %s\n", line)
	}
	return b.String()
}

func sampleExtension(p signature.Preset) string {
	switch {
	case p.Sample.Query != "":
		return "query"
	case strings.HasPrefix(p.Sample.ContentType, "application/json"):
		return "json"
	default:
		return "form"
	}
}
