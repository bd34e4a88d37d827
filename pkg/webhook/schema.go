package webhook

import (
	"encoding/json"
	"slices"

	"github.com/coinhook/coinhook/pkg/signature"
)

// schemaURI names the dialect that Schema is written in.
const schemaURI = "https://json-schema.org/draft/2020-12/schema"

// Schema returns the JSON Schema of a definition, for editors that complete and check
// what is typed. It says no more than which keys there are and what kind of value each
// takes: Parse checks the rest.
//
// The decoder itself makes it. It reads a probe instead of a text, and each part says
// of the probe what it takes. So no key can be forgotten.
func Schema() ([]byte, error) {
	d := decoder{report{places: make(map[string]position)}}
	probe := newProbe()
	d.definition(probe, defaultCommunity)
	root := probe.shape.schema("")
	root["$schema"], root["title"], root["required"] = schemaURI, "Coinhook webhook", []string{"name"}
	return json.MarshalIndent(root, "", "  ")
}

// shape is what a part of a definition may be, in the terms of JSON Schema.
type shape struct {
	types   []string
	members map[string]*shape
	entries *shape // of an object whose keys the admin chooses
	items   *shape
	forms   []*shape
}

func newProbe() *node { return &node{kind: probeNode, shape: &shape{}} }

// takes notes what a part may be, if n is a probe: then there is nothing to read.
func (n *node) takes(types ...string) bool {
	if n.kind != probeNode {
		return false
	}
	n.shape.types = append(n.shape.types, types...)
	return true
}

// ofMembers has each known key say what it takes.
func (n *node) ofMembers(field string, known keys) {
	n.shape.members = make(map[string]*shape, len(known))
	for name, take := range known {
		member := newProbe()
		take(member, childField(field, name))
		n.shape.members[name] = member.shape
	}
}

// schema writes a shape; field is its place, with [] for any item of a list.
func (s *shape) schema(field string) map[string]any {
	out := map[string]any{}
	if text, ok := descriptions[field]; ok {
		out["description"] = text
	}
	if len(s.forms) > 0 {
		forms := make([]any, len(s.forms))
		for i, form := range s.forms {
			forms[i] = form.keywords(map[string]any{}, field)
		}
		out["anyOf"] = forms
		return out
	}
	return s.keywords(out, field)
}

func (s *shape) keywords(out map[string]any, field string) map[string]any {
	if len(s.types) == 1 {
		out["type"] = s.types[0]
	} else if len(s.types) > 1 {
		out["type"] = s.types
	}
	if s.members != nil {
		properties := make(map[string]any, len(s.members))
		for name, member := range s.members {
			properties[name] = member.schema(childField(field, name))
		}
		out["properties"], out["additionalProperties"] = properties, false
	}
	if s.entries != nil {
		out["additionalProperties"], out["minProperties"], out["maxProperties"] = s.entries.schema(field+".*"), 1, maxLookup
	}
	if s.items != nil {
		out["items"] = s.items.schema(field + "[]")
	}
	if values, ok := choices[field]; ok && slices.Contains(s.types, "string") {
		out["enum"] = values
	}
	if limit, ok := mostItems[field]; ok && s.items != nil {
		out["maxItems"] = limit
	}
	return out
}

func textsOf[T ~string](values ...T) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return texts
}

// choices are the values that a part takes.
var choices = map[string][]string{
	"state":             textsOf(Draft, Active, Paused, Disabled),
	"encryption":        textsOf(NoEncryption, CBC, GCM),
	"receive.methods[]": {methodPost, methodGet, methodPut},
	"receive.payload":   textsOf(PayloadJSON, PayloadForm, PayloadQuery),
	"receive.unwrap.as": textsOf(UnwrapJSON, UnwrapBase64JSON),
	"receive.challenge": textsOf(ChallengeSlack, ChallengeTwitch, ChallengeTebex, ChallengeMeta, ChallengeOkta, ChallengeDiscord),
	"auth.signature":    signature.Names(),
	"auth.signature.algorithm": textsOf(signature.HMACSHA1, signature.HMACSHA256, signature.HMACSHA512, signature.Ed25519,
		signature.ECDSAP256, signature.MD5, signature.SHA1, signature.SHA256),
	"auth.signature.encoding": textsOf(signature.Hex, signature.Base64),
	"user.by":                 textsOf(ByEmail, ByUsername, ByID, ByExternal),
	"mappings[].operator":     textsOf(Add, Subtract),
	"mappings[].value.round":  textsOf(RoundDown, RoundUp, RoundHalfEven),
}

// mostItems bounds lists.
var mostItems = map[string]int{
	"when": maxConditions, "when[].any": maxConditions, "when[].in": maxAlternates, "when[].any[].in": maxAlternates,
	"mappings": maxMappings, "mappings[].when": maxConditions, "mappings[].when[].any": maxConditions,
	"mappings[].when[].in": maxAlternates, "mappings[].when[].any[].in": maxAlternates,
	"idempotency": maxComposite,
}

// descriptions are what editors show at a key.
var descriptions = describe()

func describe() map[string]string {
	all := map[string]string{
		"name":                      "Unique in its community; the action in every gamification log entry.",
		"community":                 "The tenant. Default: default.",
		"state":                     "draft captures samples, active executes, paused executes later, disabled answers 404. Without it a webhook keeps its state.",
		"receive":                   "How requests look, and how they are answered.",
		"auth":                      "How a sender proves itself; all that is named must pass. {} takes anybody who has the URL.",
		"encryption":                "The AES-256 mode of the bodies.",
		"user":                      "Which value names the user.",
		"user.path":                 "A path such as customer.email or items[0].id.",
		"idempotency":               "What tells a sender's retry from a new event: a header, a path, the body, or a list of headers and paths.",
		"late_users":                "Runs failed deliveries again when their user appears.",
		"when":                      "All must hold, or the delivery is skipped.",
		"mappings":                  "What is changed, in this order: all of it or nothing.",
		"mappings[].each":           "The path of an array: one change of each element. The other paths start at the element.",
		"mappings[].when":           "All must hold, or this mapping is left out; with each, this element.",
		"mappings[].value":          "A path, a header or a constant, and then what is made of it.",
		"mappings[].value.lookup":   "The value to take in the place of a text.",
		"mappings[].value.default":  "Stands in for a value that is absent, null or not in lookup.",
		"mappings[].value.times":    "Multiplies by a number, or by the value at a path or of a header.",
		"mappings[].value.min":      "Replaces a value that is below it.",
		"mappings[].value.max":      "Replaces a value that is above it.",
		"mappings[].value.round":    "What becomes of decimals that the currency does not keep. Without it they are an error.",
		"mappings[].value.signed":   "Lets the value be negative.",
		"mappings[].value.constant": "The same for every delivery.",
	}
	test := map[string]string{
		"exists":       "true for a value that is there and not null, false for the opposite.",
		"greater_than": "A number, or a text that is one, above this.",
		"at_least":     "A number, or a text that is one, not below this.",
		"less_than":    "A number, or a text that is one, below this.",
		"at_most":      "A number, or a text that is one, not above this.",
		"any":          "One of these must hold.",
	}
	for _, condition := range []string{"when[]", "when[].any[]", "mappings[].when[]", "mappings[].when[].any[]"} {
		for key, text := range test {
			all[condition+"."+key] = text
		}
	}
	return all
}
