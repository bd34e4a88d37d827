package webhook_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestTheLargestDefinitionsAreAccepted: TestParseRefuses has one more of each.
func TestTheLargestDefinitionsAreAccepted(t *testing.T) {
	t.Parallel()
	list := func(n int, item string) string { return "[" + strings.Repeat(item+", ", n-1) + item + "]" }
	mapping := func(rest string) string { return "mappings: [{currency: xp, operator: add, " + rest + "}]" }
	paths := make([]string, 10)
	for i := range paths {
		paths[i] = fmt.Sprintf("{path: p%d}", i)
	}
	for about, src := range map[string]string{
		"a name":             "name: " + strings.Repeat("é", 100),
		"a community":        "name: N\ncommunity: " + strings.Repeat("a", 63),
		"mappings":           "name: N\nmappings: " + list(50, "{currency: xp, operator: add, value: {path: a}}"),
		"mappings with each": "name: N\nmappings: " + list(20, "{currency: xp, operator: add, each: a, value: {path: b}}"),
		"conditions":         "name: N\nwhen: " + list(50, "{path: a, equals: 1}"),
		"alternatives":       "name: N\nwhen: [{any: " + list(50, "{path: a, equals: 1}") + "}]",
		"values of in":       "name: N\nwhen: [{path: a, in: " + list(100, "1") + "}]",
		"an affix":           "name: N\nwhen: [{path: a, contains: " + strings.Repeat("é", 200) + "}]",
		"a composite key":    "name: N\nidempotency: [" + strings.Join(paths, ", ") + "]",
		"a lookup":           "name: N\n" + mapping("value: {path: a, lookup: {"+manyEntries(1000)+"}}"),
		"a lookup's key":     "name: N\n" + mapping("value: {path: a, lookup: {"+strings.Repeat("é", 200)+": 1}}"),
		"a path":             "name: N\n" + mapping("value: {path: "+strings.Repeat("é", 1000)+"}"),
		"digits":             "name: N\n" + mapping("value: {path: a, times: \"0."+strings.Repeat("1", 39)+"\"}"),
		"exponents":          "name: N\n" + mapping("value: {path: a, times: 1e20, min: 1e-20}"),
		"addresses":          "name: N\nauth: {allow: " + list(100, "10.0.0.0/8") + "}",
		"a username":         "name: N\nauth: {basic: {username: " + strings.Repeat("é", 200) + "}}",
		"a body":             "name: N\nreceive: {max_body: 64MiB}",
		"the fastest rate":   "name: N\nreceive: {rate: 1000000/s}",
		"an answer":          "name: N\nreceive: {answer: {status: 299, body: " + strings.Repeat("x", 4096) + "}}",
		"placeholders":       "name: N\nreceive: {answer: {status: 200, body: \"" + strings.Repeat("{id}", 20) + "\"}}",
		"late users":         "name: N\nlate_users: {max_age: 365d, max_deliveries: 10000}",
		"tolerance": "name: N\nauth: {signature: {algorithm: hmac-sha256, from: {header: X-S}, encoding: hex, " +
			"signed: \"{timestamp}{body}\", timestamp: {header: X-T}, tolerance: 24h}}",
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			def, err := webhook.Parse([]byte(src))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := webhook.Compile(webhook.Record{ID: "wh_a", Definition: def}, 1); err != nil {
				t.Error(err)
			}
		})
	}
}
