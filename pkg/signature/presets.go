package signature

import (
	"embed"
	"slices"
	"strings"
	"sync"
	"time"
)

// files has NAME.yaml, an example definition, and NAME.json, NAME.form or
// NAME.query, the sample that it maps.
//
//go:embed presets
var files embed.FS

// Find returns the preset of that name.
func Find(name string) (Preset, bool) {
	all := loaded()
	i := slices.IndexFunc(all, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return Preset{}, false
	}
	return all[i], true
}

// Names returns the presets' names, sorted.
func Names() []string {
	var names []string
	for _, p := range loaded() {
		names = append(names, p.Name)
	}
	return names
}

// Group is some of the presets under one heading, sorted by title.
type Group struct {
	Title   string
	Presets []Preset
}

// Groups returns all presets, for a person to choose from.
func Groups() []Group {
	var groups []Group
	for _, kind := range kinds {
		g := Group{Title: kind.title}
		for _, p := range loaded() {
			if p.Group == kind.title {
				g.Presets = append(g.Presets, p)
			}
		}
		slices.SortFunc(g.Presets, func(a, b Preset) int { return strings.Compare(a.Title, b.Title) })
		groups = append(groups, g)
	}
	return groups
}

// kinds are the presets by what they send, the most usual first.
var kinds = []struct {
	title   string
	presets func() []Preset
}{
	{"Shops and payments", shops},
	{"Code, streams and services", platforms},
	{"Messages and mail", messengers},
	{"Rewarded ads", ads},
}

// loaded has the presets with their files, sorted by name.
var loaded = sync.OnceValue(func() []Preset {
	var all []Preset
	for _, kind := range kinds {
		for _, p := range kind.presets() {
			p.Group = kind.title
			all = append(all, p)
		}
	}
	for i := range all {
		p := &all[i]
		p.Definition = file(p.Name + ".yaml")
		for extension, kind := range map[string]string{"json": "application/json", "form": "application/x-www-form-urlencoded"} {
			if body := file(p.Name + "." + extension); body != "" {
				p.Sample.Method, p.Sample.ContentType, p.Sample.Body = "POST", kind, body
			}
		}
		if query := file(p.Name + ".query"); query != "" {
			p.Sample.Method, p.Sample.Query = "GET", query
		}
	}
	slices.SortFunc(all, func(a, b Preset) int { return strings.Compare(a.Name, b.Name) })
	return all
})

// file returns an embedded text without its last line feed, or "".
func file(name string) string {
	text, _ := files.ReadFile("presets/" + name)
	return strings.TrimSuffix(string(text), "\n")
}

// bodyHMAC is the most usual way: HMAC-SHA256 of the body.
func bodyHMAC(header, prefix string, encoding Encoding) Spec {
	return Spec{Algorithm: HMACSHA256, From: Place{Header: header}, Prefix: prefix, Encoding: encoding, Signed: "{body}"}
}

// withID names the header that has the sender's own id of an event.
func (s Spec) withID(header string) Spec {
	s.ID = Place{Header: header}
	return s
}

// timed adds a signed timestamp.
func (s Spec) timed(at Place, tolerance time.Duration, signed string) Spec {
	s.Timestamp, s.Tolerance, s.Signed = at, tolerance, signed
	return s
}

// fiveMinutes is what most senders recommend.
const fiveMinutes = 5 * time.Minute
