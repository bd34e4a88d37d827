package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	want := `name: Shop purchases
community: guild-7
state: active
auth:
  api_key: true
encryption: none
user:
  by: email
  path: customer.email
idempotency: {path: "order.ids[0]"}
late_users: {max_age: 24h, max_deliveries: 100}
when:
  - {path: type, equals: order.paid}
  - {path: total, not_equals: "1_not_a_number"}
  - {path: kind, in: [a, "5", 5.0, true, null]}
  - {path: "$.items[0]", exists: true}
  - {header: X-Github-Event, equals: pull_request}
mappings:
  - {currency: coins, operator: add, value: {path: order.coins}}
  - {currency: xp, operator: add, value: {path: order.total, times: "10", round: down}}
  - {currency: coins, operator: subtract, value: {constant: "12.50", signed: true}}
  - {field: favourite_team, value: {path: customer.team}}
  - {field: paid, value: {constant: "true"}}
`
	got, err := webhook.Format(fullDefinition())
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("error %v, YAML (-want +got):\n%s", err, diff)
	}
	if _, err := webhook.Format(webhook.Definition{Name: "\xff"}); err == nil {
		t.Error("text that is not UTF-8 is written")
	}
}

// Strings that YAML reads as something else when they are not quoted.
var tricky = rapid.OneOf(
	rapid.SampledFrom([]string{
		"true", "No", "null", "~", "", " ", "5", "1e5", "0x10", "1_000", ".inf", "2024-01-01", "a: b", "a #b", "#", "- a", "? a",
		"[a]", "{a}", "a, b", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a", "'", `"`, `\`, "a\nb", "a\r\nb", "\t", "\x00", "\x7f",
		"\u0085", "\u2028", "\uFEFF", "\uFFFD", "é", "😀", "\U000E0001", "<<", "=", "a ", " a", "a  b", "---", "...", "a -b", "a - b", "y", "on",
	}),
	rapid.String(),
)

func drawPathText(t *rapid.T) string {
	segments := rapid.SliceOfN(rapid.SampledFrom([]string{".a", ".größe", "[0]", "[-1]", "['odd key']", `["a\"b: #"]`, " .b"}), 0, 4)
	return "$" + strings.Join(segments.Draw(t, "path"), "")
}

var anyNumber = rapid.StringMatching(`-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?([eE][+-]?1?[0-9])?`)

func drawScalar(t *rapid.T) webhook.Scalar {
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		return webhook.Null()
	case 1:
		return webhook.Bool(rapid.Bool().Draw(t, "bool"))
	case 2:
		return number(anyNumber.Draw(t, "number"))
	default:
		return webhook.String(tricky.Draw(t, "string"))
	}
}

func drawCondition(t *rapid.T) webhook.Condition {
	c := webhook.Condition{Header: "X-Github-Event"}
	if rapid.Bool().Draw(t, "of a path") {
		c = webhook.Condition{Path: drawPathText(t)}
	}
	switch rapid.IntRange(0, 5).Draw(t, "test") {
	case 4:
		limit := rapid.SampledFrom([]*string{&c.GreaterThan, &c.AtLeast, &c.LessThan, &c.AtMost}).Draw(t, "comparison")
		*limit = anyNumber.Draw(t, "limit")
	case 5:
		affix := rapid.SampledFrom([]*string{&c.StartsWith, &c.EndsWith, &c.Contains}).Draw(t, "text test")
		*affix = tricky.Filter(func(s string) bool { return s != "" }).Draw(t, "affix")
	case 0:
		c.Equals = drawScalar(t)
	case 1:
		c.NotEquals = drawScalar(t)
	case 2:
		c.In = rapid.SliceOfN(rapid.Custom(drawScalar), 1, 4).Draw(t, "in")
	default:
		exists := rapid.Bool().Draw(t, "exists")
		c.Exists = &exists
	}
	return c
}

func drawConditions(t *rapid.T) (when []webhook.Condition) {
	for range rapid.IntRange(0, 3).Draw(t, "conditions") {
		c := drawCondition(t)
		if rapid.Bool().Draw(t, "any") {
			c = webhook.Condition{Any: rapid.SliceOfN(rapid.Custom(drawCondition), 1, 3).Draw(t, "alternatives")}
		}
		when = append(when, c)
	}
	return when
}

func drawSource(t *rapid.T) webhook.Source {
	if rapid.Bool().Draw(t, "of a path") {
		return webhook.Source{Path: drawPathText(t)}
	}
	return webhook.Source{Header: rapid.SampledFrom([]string{"X-Sku", "Etag", "1e5"}).Draw(t, "header")}
}

// drawOpenParts adds what a mapping may have besides its value.
func drawOpenParts(t *rapid.T, m *webhook.Mapping, text *rapid.Generator[string]) {
	if rapid.Bool().Draw(t, "looks up") {
		m.Value.Lookup = rapid.MapOfN(tricky, text, 1, 4).Draw(t, "lookup")
	}
	if rapid.Bool().Draw(t, "has a default") {
		m.Value.Default = new(text.Draw(t, "default"))
	}
	m.When = drawConditions(t)
}

func drawMapping(t *rapid.T) webhook.Mapping {
	m := webhook.Mapping{
		Currency: rapid.SampledFrom([]string{"coins", "xp", "no", "1e5", "größe: #1"}).Draw(t, "currency"),
		Operator: rapid.SampledFrom([]webhook.Operator{webhook.Add, webhook.Subtract}).Draw(t, "operator"),
		Value: webhook.Value{
			Round:  rapid.SampledFrom([]webhook.Round{"", webhook.RoundDown, webhook.RoundUp, webhook.RoundHalfEven}).Draw(t, "round"),
			Signed: rapid.Bool().Draw(t, "signed"),
		},
	}
	if rapid.Bool().Draw(t, "of a path") {
		source := drawSource(t)
		m.Value.Path, m.Value.Header = source.Path, source.Header
		drawOpenParts(t, &m, anyNumber)
	} else {
		constant := anyNumber.Draw(t, "constant")
		m.Value.Constant = &constant
	}
	if rapid.Bool().Draw(t, "multiply") {
		m.Value.Times = anyNumber.Draw(t, "times")
	} else if rapid.Bool().Draw(t, "multiply by a value") {
		m.Value.TimesBy = new(drawSource(t))
	}
	if rapid.Bool().Draw(t, "each") {
		m.Each = drawPathText(t)
	}
	if rapid.Bool().Draw(t, "clamp") {
		m.Value.Min = anyNumber.Draw(t, "min")
	} else {
		m.Value.Max = anyNumber.Draw(t, "max")
	}
	return m
}

func drawFieldMapping(t *rapid.T) webhook.Mapping {
	// Names are unique: the same custom field twice is refused.
	m := webhook.Mapping{Field: rapid.StringMatching("[a-z]{8}").Draw(t, "field")}
	if rapid.Bool().Draw(t, "of a path") {
		m.Value.Path = drawPathText(t)
		drawOpenParts(t, &m, tricky)
		return m
	}
	constant := tricky.Draw(t, "constant")
	m.Value.Constant = &constant
	return m
}

func drawIdempotency(t *rapid.T) *webhook.Idempotency {
	switch rapid.IntRange(0, 4).Draw(t, "idempotency") {
	case 4:
		different := func(s webhook.Source) webhook.Source { return s }
		return &webhook.Idempotency{Composite: rapid.SliceOfNDistinct(rapid.Custom(drawSource), 1, 4, different).Draw(t, "composite")}
	case 0:
		return &webhook.Idempotency{Header: rapid.SampledFrom([]string{"X-Event-Id", "Etag", "1e5"}).Draw(t, "header")}
	case 1:
		return &webhook.Idempotency{Path: drawPathText(t)}
	case 2:
		return &webhook.Idempotency{Body: true}
	default:
		return nil
	}
}

func drawAuth(t *rapid.T) webhook.Auth {
	auth := webhook.Auth{APIKey: rapid.Bool().Draw(t, "api key")}
	if rapid.Bool().Draw(t, "basic") {
		auth.Basic = &webhook.Basic{Username: rapid.SampledFrom([]string{"shop", "null", "1e5", `a "b'`, "é ", "#"}).Draw(t, "username")}
	}
	for range rapid.IntRange(0, 2).Draw(t, "networks") {
		auth.Allow = append(auth.Allow, rapid.SampledFrom([]string{"1.2.3.4", "10.0.0.0/8", "::1", "2001:db8::/32", "0.0.0.0/0"}).Draw(t, "network"))
	}
	if !rapid.Bool().Draw(t, "signature") {
		return auth
	}
	form := webhook.SignatureForm{
		Algorithm: rapid.SampledFrom(signature.Algorithms()[:5]).Draw(t, "algorithm"),
		Encoding:  rapid.SampledFrom([]signature.Encoding{signature.Hex, signature.Base64}).Draw(t, "encoding"),
		Prefix:    rapid.SampledFrom([]string{"", "sha256=", "v0=", "no", `"'`, " #"}).Draw(t, "prefix"),
		From:      rapid.SampledFrom([]signature.Place{{Header: "X-Signature"}, {Query: "1e5"}, {Query: "a b"}}).Draw(t, "from"),
		ID:        rapid.SampledFrom([]signature.Place{{}, {Header: "Etag"}, {Query: "null"}, {Field: "id"}}).Draw(t, "id"),
		Signed:    rapid.SampledFrom([]string{"{body}", ": {body}", "{method} # {header.A}\n{body}", "{{{body}}}"}).Draw(t, "signed"),
	}
	if rapid.Bool().Draw(t, "timestamp") {
		form.Signed = "{timestamp}." + form.Signed
		form.Timestamp = rapid.SampledFrom([]signature.Place{{Header: "X-At"}, {Query: "yes"}, {Field: "t"}}).Draw(t, "timestamp")
		form.Tolerance = rapid.SampledFrom([]string{"5m", "030s", "1h0m", "300s"}).Draw(t, "tolerance")
	}
	auth.Signature = &webhook.Signature{SignatureForm: form}
	return auth
}

func drawLateUsers(t *rapid.T) *webhook.LateUsers {
	if !rapid.Bool().Draw(t, "waits for late users") {
		return nil
	}
	return &webhook.LateUsers{
		MaxAge:        rapid.SampledFrom([]string{"1m", "90m", "024h", "365d", "525600m", "7"}).Draw(t, "age"),
		MaxDeliveries: rapid.IntRange(1, 10_000).Draw(t, "deliveries"),
	}
}

func TestParseReadsWhatFormatWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		def := webhook.Definition{
			Name:       tricky.Draw(t, "name"),
			Community:  rapid.SampledFrom([]string{"default", "0", "true", "1e5", "guild_7-b", "null"}).Draw(t, "community"),
			State:      rapid.SampledFrom([]webhook.State{webhook.Draft, webhook.Active, webhook.Paused, webhook.Disabled}).Draw(t, "state"),
			Auth:       drawAuth(t),
			Encryption: rapid.SampledFrom([]webhook.Encryption{webhook.NoEncryption, webhook.CBC, webhook.GCM}).Draw(t, "encryption"),

			Idempotency: drawIdempotency(t),
			LateUsers:   drawLateUsers(t),
			Receive:     drawReceive(t),
		}
		if rapid.Bool().Draw(t, "has a user") {
			source := drawSource(t)
			def.User = &webhook.UserRef{By: webhook.ByUsername, Path: source.Path, Header: source.Header}
		}
		def.When = drawConditions(t)
		if n := rapid.IntRange(0, 3).Draw(t, "mappings"); n > 0 {
			def.Mappings = rapid.SliceOfN(rapid.Custom(drawMapping), n, n).Draw(t, "mappings")
		}
		if rapid.Bool().Draw(t, "sets a field") {
			def.Mappings = append(def.Mappings, drawFieldMapping(t))
		}
		if def.Validate() != nil {
			def.Name, def.State, def.LateUsers = "Name", webhook.Draft, nil
			if def.Validate() != nil { // a body may hold what looks like a placeholder
				def.Receive = nil
			}
		}
		checkRoundTrips(t, def)
	})
}

// checkRoundTrips: as YAML, and as JSON, which records and answers are written in.
func checkRoundTrips(t *rapid.T, def webhook.Definition) {
	src, err := webhook.Format(def)
	if err != nil {
		t.Fatal(err)
	}
	got, err := webhook.Parse(src)
	if diff := cmp.Diff(def, got, exactly); diff != "" || err != nil {
		t.Fatalf("error %v (-want +got):\n%s\n%s", err, diff, src)
	}
	src, err = json.Marshal(def)
	if err != nil {
		t.Fatal(err)
	}
	got, err = webhook.Parse(src)
	if diff := cmp.Diff(def, got, exactly); diff != "" || err != nil {
		t.Fatalf("error %v, from JSON (-want +got):\n%s\n%s", err, diff, src)
	}
	src, err = json.Marshal(webhook.Record{Definition: def})
	if err != nil {
		t.Fatal(err)
	}
	if err := webhook.CheckWritable(src); err != nil {
		t.Fatalf("not writable: %v\n%s", err, src)
	}
}
