package reference

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestThePagesOfSendersAreCurrent: each says what its preset says.
func TestThePagesOfSendersAreCurrent(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(repository, "docs", "guide", "senders")
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range signature.Names() {
		preset, _ := signature.Find(name)
		if !strings.Contains(string(index), "("+name+".md)") {
			t.Errorf("the index of senders lacks %s", name)
		}
		path := filepath.Join(folder, name+".md")
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, _, found := strings.Cut(string(got), marker)
		if !found {
			t.Fatalf("%s has no line %q", path, marker)
		}
		want := head + marker + "\n" + senderPage(t, preset)
		if *write {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if string(got) != want {
			t.Errorf("%s is stale at %q: run `make docs`", path, difference(string(got), want))
		}
	}
}

// senderPage is the generated part of a sender's page.
func senderPage(t *testing.T, p signature.Preset) string {
	t.Helper()
	def, err := webhook.Parse([]byte(p.Definition))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## Set it up\n\n```sh\ncoinhook webhooks presets %s > %s.yaml\n    # adapt the user and the mappings\n", p.Name, p.Name)
	fmt.Fprintf(&b, "coinhook webhooks apply -f %s.yaml\n    # prints the URL for the sender\n```\n\n", p.Name)
	for i, step := range p.Setup {
		b.WriteString(wrapped(fmt.Sprintf("%d.", i+1), step))
	}
	fmt.Fprintf(&b, "\nTo set the %s (`%s`):\n\n```sh\ncoinhook webhooks set-secret '%s' --secret-stdin\n```\n", p.Secret.Name, p.Secret.Example, def.Name)
	fmt.Fprintf(&b, "\n## The definition\n\n```yaml\n%s\n```\n\n## What the preset sets\n\n| part | value |\n| --- | --- |\n", p.Definition)
	for _, part := range presetParts(p) {
		fmt.Fprintf(&b, "| %s | %s |\n", part[0], part[1])
	}
	fmt.Fprintf(&b, "\nThe definition's own `receive` and `idempotency` override these. See the\nsender's documentation:\n<%s>\n", p.Docs)
	b.WriteString(samplePart(p, def.Name))
	return b.String()
}

func presetParts(p signature.Preset) [][2]string {
	var parts [][2]string
	code := func(name, value string) {
		if value != "" {
			parts = append(parts, [2]string{name, "`" + strings.ReplaceAll(value, "|", `\|`) + "`"})
		}
	}
	s, r := p.Spec, p.Receive
	code("algorithm", string(s.Algorithm))
	code("signature", s.From.String()+": "+s.Prefix+string(s.Encoding))
	code("signed", s.Signed)
	code("timestamp", s.Timestamp.String())
	if s.Tolerance > 0 {
		code("tolerance", strings.TrimSuffix(s.Tolerance.String(), "0s"))
	}
	switch {
	case p.Key.Body:
		code("idempotency", "{body: true}")
	case len(p.Key.Paths) > 0:
		code("idempotency", keyPlaces(p.Key.Paths))
		code("or else", keyPlaces(p.Key.Else))
	default:
		code("idempotency", "{header: "+s.ID.Header+"}")
	}
	code("methods", strings.Join(r.Methods, ", "))
	code("payload", r.Payload)
	if a := r.Answer; a != nil {
		code("answer", strings.TrimSpace(fmt.Sprintf("%d %s %s", a.Status, a.ContentType, a.Body)))
	}
	code("handshake", r.Challenge)
	return parts
}

// keyPlaces writes paths as a definition has them.
func keyPlaces(paths []string) string {
	list := "{path: " + strings.Join(paths, "}, {path: ") + "}"
	switch len(paths) {
	case 0:
		return ""
	case 1:
		return list
	default:
		return "[" + list + "]"
	}
}

func samplePart(p signature.Preset, name string) string {
	text, kind := p.Sample.Body, "text"
	if p.Sample.Query != "" {
		text = p.Sample.Query
	}
	if strings.HasPrefix(p.Sample.ContentType, "application/json") {
		kind = "json"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n## A sample\n\n```%s\n%s\n```\n", kind, text)
	headers := ""
	if len(p.Sample.Header) > 0 {
		b.WriteString("\nIt comes with these headers:\n\n```text\n")
		for _, header := range slices.Sorted(maps.Keys(p.Sample.Header)) {
			fmt.Fprintf(&b, "%s: %s\n", header, p.Sample.Header[header])
			headers += fmt.Sprintf(" \\\n    -H '%s: %s'", header, p.Sample.Header[header])
		}
		b.WriteString("```\n")
	}
	fmt.Fprintf(&b, "\n## Test it\n\n```sh\ncoinhook webhooks presets %s --sample > sample.txt\n", p.Name)
	fmt.Fprintf(&b, "coinhook webhooks try '%s' -f sample.txt%s\n    # what it would change; changes nothing\n", name, headers)
	if !p.Secret.Public {
		fmt.Fprintf(&b, "coinhook sign '%s' -f sample.txt\n    # the request as the sender would sign it, with its curl line\n", name)
	}
	fmt.Fprintf(&b, "coinhook webhooks rejections '%s'\n    # what was refused, and why\n```\n", name)
	return b.String()
}
