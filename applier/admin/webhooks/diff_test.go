package webhooks

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/webhook"
)

func parse(t *testing.T, src string) *webhook.Definition {
	t.Helper()
	d, err := webhook.Parse([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

func TestDiff(t *testing.T) {
	t.Parallel()
	const before = `
name: Shop
user: {by: email, path: a}
when: [{path: b, equals: 1}]
mappings:
  - {currency: xp, operator: add, value: {path: x}}
  - {currency: coins, operator: add, value: {path: y}}
`
	for name, tc := range map[string]struct {
		before *webhook.Definition
		after  string
		want   []string
	}{
		"nothing": {parse(t, before), before, nil},
		"a changed line, with what stands around it": {parse(t, before), strings.Replace(before, "path: x", "path: z", 1), []string{
			" when:",
			`   - {path: b, equals: 1}`,
			" mappings:",
			"-  - {currency: xp, operator: add, value: {path: x}}",
			"+  - {currency: xp, operator: add, value: {path: z}}",
			`   - {currency: coins, operator: add, value: {path: "y"}}`,
		}},
		"two places": {parse(t, before), strings.NewReplacer("name: Shop", "name: Shop\nstate: disabled", "path: y", "path: z").Replace(before), []string{
			" name: Shop",
			" community: default",
			"-state: draft",
			"+state: disabled",
			" auth:",
			"   api_key: true",
			" encryption: none",
			"@@",
			`   - {path: b, equals: 1}`,
			" mappings:",
			"   - {currency: xp, operator: add, value: {path: x}}",
			`-  - {currency: coins, operator: add, value: {path: "y"}}`,
			"+  - {currency: coins, operator: add, value: {path: z}}",
		}},
		"late users": {parse(t, before), before + "late_users: {max_deliveries: 5}\n", []string{
			" user:",
			"   by: email",
			"   path: a",
			"+late_users: {max_age: 7d, max_deliveries: 5}",
			" when:",
			`   - {path: b, equals: 1}`,
			" mappings:",
			"@@",
		}},
		"a new webhook": {nil, "name: Shop", []string{
			"+name: Shop", "+community: default", "+state: draft", "+auth:", "+  api_key: true", "+encryption: none",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Diff(tc.before, *parse(t, tc.after))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Join(append(tc.want, ""), "\n")
			if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCompareLosesNoLine(t *testing.T) {
	t.Parallel()
	text := rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c", "d"}))
	rapid.Check(t, func(t *rapid.T) {
		old, now := text.Draw(t, "old"), text.Draw(t, "now")
		var left, right []string
		kept := 0
		for _, e := range compare(old, now) {
			switch e.mark {
			case ' ':
				left, right = append(left, e.line), append(right, e.line)
				kept++
			case '-':
				left = append(left, e.line)
			default:
				right = append(right, e.line)
			}
		}
		if strings.Join(left, "") != strings.Join(old, "") || strings.Join(right, "") != strings.Join(now, "") {
			t.Fatalf("the edits of %v to %v are of %v to %v", old, now, left, right)
		}
		if most := common(old, now)[0][0]; kept != int(most) {
			t.Fatalf("%d lines are kept of %d in common", kept, most)
		}
	})
}

func TestCompareOfVeryLongTexts(t *testing.T) {
	t.Parallel()
	old, now := make([]string, 3000), make([]string, 3000)
	for i := range old {
		old[i], now[i] = "old", "now"
	}
	if got := len(compare(old, now)); got != 6000 {
		t.Errorf("%d edits", got)
	}
}
