package mapping_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
	"pgregory.net/rapid"
)

// wantAmount is the rule for amounts in the words of rational numbers: slow and
// plain. It gives an amount, or a reason.
func wantAmount(value, times string, scale int, round webhook.Round, signed bool) (*big.Int, string) {
	v, ok := new(big.Rat).SetString(value)
	if !ok {
		return nil, invalidAmount
	}
	if times != "" {
		factor, _ := new(big.Rat).SetString(times)
		v.Mul(v, factor)
	}
	return wantUnits(v, scale, round, signed)
}

// wantUnits gives a number in the smallest unit, or a reason.
func wantUnits(v *big.Rat, scale int, round webhook.Round, signed bool) (*big.Int, string) {
	v = new(big.Rat).Mul(v, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	// Towards zero; twice the rest is compared with the whole for the half.
	units, rest := new(big.Int).QuoRem(v.Num(), v.Denom(), new(big.Int))
	if rest.Sign() != 0 {
		up := false
		switch half := new(big.Int).Abs(rest); round {
		case "":
			return nil, invalidAmount
		case webhook.RoundUp:
			up = true
		case webhook.RoundHalfEven:
			c := half.Lsh(half, 1).Cmp(v.Denom())
			up = c > 0 || c == 0 && units.Bit(0) == 1
		}
		if up {
			units.Add(units, big.NewInt(int64(v.Sign())))
		}
	}
	if v.Sign() < 0 && !signed {
		return nil, negativeAmount
	}
	if limit := new(big.Int).SetUint64(1 << 63); units.CmpAbs(limit) >= 0 {
		return nil, outOfRange
	}
	return units, ""
}

func drawNumber(t *rapid.T, name string, digits, exponent int) string {
	mantissa := rapid.StringMatching(fmt.Sprintf(`-?(0|[1-9][0-9]{0,%d})(\.[0-9]{1,%d})?`, digits, digits)).Draw(t, name)
	if len(mantissa) > 2 && rapid.Bool().Draw(t, name+" has zeros") {
		mantissa = mantissa[:2] + strings.NewReplacer("3", "0", "4", "0", "7", "0", "8", "9", "6", "9").Replace(mantissa[2:])
	}
	if !rapid.Bool().Draw(t, name+" has an exponent") {
		return mantissa
	}
	return fmt.Sprintf("%se%d", mantissa, rapid.IntRange(-exponent, exponent).Draw(t, name+" exponent"))
}

func TestAmountsAgreeWithRationalNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := drawNumber(t, "value", 24, 40)
		var times string
		if rapid.Bool().Draw(t, "multiply") {
			times = drawNumber(t, "times", 18, 20)
		}
		code := rapid.SampledFrom([]string{"xp", "euro", "grain"}).Draw(t, "currency")
		round := rapid.SampledFrom([]webhook.Round{"", webhook.RoundDown, webhook.RoundUp, webhook.RoundHalfEven}).Draw(t, "round")
		signed := rapid.Bool().Draw(t, "signed")
		want, reason := wantAmount(value, times, scales[code], round, signed)
		got, gotReason := evaluateOne(t, webhook.Mapping{
			Currency: code, Operator: webhook.Add,
			Value: webhook.Value{Path: "v", Times: times, Round: round, Signed: signed},
		}, value)
		if gotReason != reason || reason == "" && want.Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("got %d %q, want %v %q", got, gotReason, want, reason)
		}
	})
}

func evaluateOne(t interface{ Fatalf(string, ...any) }, m webhook.Mapping, value string) (int64, string) {
	w, err := webhook.Compile(webhook.Record{Definition: webhook.Definition{
		User:     &webhook.UserRef{By: webhook.ByUsername, Path: "user"},
		Mappings: []webhook.Mapping{m},
	}}, 1)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	plan, failure := evaluate(w, []byte(`{"v":`+value+`,"user":"ada"}`), headers())
	switch {
	case failure != nil:
		return 0, string(failure.Reason)
	case len(plan.Changes) == 0:
		return 0, ""
	default:
		return plan.Changes[0].Amount, ""
	}
}

// lookUp walks a decoded tree: what a path means, without an eye on speed.
func lookUp(tree any, path webhook.Path) (any, bool) {
	for _, s := range path.Segments() {
		switch v := tree.(type) {
		case map[string]any:
			member, ok := v[s.Name]
			if s.IsIndex || !ok {
				return nil, false
			}
			tree = member
		case []any:
			i := s.Index
			if i < 0 {
				i += int64(len(v))
			}
			if !s.IsIndex || i < 0 || i >= int64(len(v)) {
				return nil, false
			}
			tree = v[i]
		default:
			return nil, false
		}
	}
	return tree, true
}

var drawTree = rapid.Custom(func(t *rapid.T) any { return drawNode(t, 4) })

func drawNode(t *rapid.T, depth int) any {
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	if depth == 0 || kind == 0 {
		return rapid.IntRange(0, 999).Draw(t, "leaf")
	}
	if kind < 3 {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any { return drawNode(t, depth-1) }), 0, 5).Draw(t, "array")
	}
	names := rapid.SampledFrom([]string{"a", "b", "\"é\\", "0"})
	object := rapid.MapOfN(names, rapid.Custom(func(t *rapid.T) any { return drawNode(t, depth-1) }), 0, 4).Draw(t, "object")
	return map[string]any(object)
}

func drawPath(t *rapid.T) webhook.Path {
	segment := rapid.SampledFrom([]string{"['a']", ".b", `["\"é\\"]`, "['0']", "[0]", "[1]", "[-1]", "[-2]", "[-4]", "[-9007199254740991]"})
	path, err := webhook.ParsePath("$" + strings.Join(rapid.SliceOfN(segment, 0, 4).Draw(t, "path"), ""))
	if err != nil {
		t.Fatalf("draw a path: %v", err)
	}
	return path
}

func TestPathsFindWhatATreeHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree.Draw(t, "tree")
		body, err := json.MarshalIndent(tree, "", rapid.SampledFrom([]string{"", "\t"}).Draw(t, "indent"))
		if err != nil {
			t.Fatal(err)
		}
		// One condition for each path: all of them must agree with the tree, and a
		// user that is missing shows that they do.
		def := webhook.Definition{
			User:     &webhook.UserRef{By: webhook.ByUsername, Path: "nobody"},
			Mappings: []webhook.Mapping{{Currency: "xp", Operator: webhook.Add, Value: webhook.Value{Path: "$"}}},
		}
		for range rapid.IntRange(1, 6).Draw(t, "paths") {
			path := drawPath(t)
			found, exists := lookUp(tree, path)
			def.When = append(def.When, webhook.Condition{Path: path.Text(), Exists: &exists})
			if leaf, ok := found.(int); ok {
				want, _ := webhook.NumberText(fmt.Sprint(leaf))
				def.When = append(def.When, webhook.Condition{Path: path.Text(), Equals: want})
			}
		}
		w, err := webhook.Compile(webhook.Record{Definition: def}, 1)
		if err != nil {
			t.Fatal(err)
		}
		plan, failure := evaluate(w, body, headers())
		if plan.Skip || failure == nil || failure.Reason != "missing_user_identifier" {
			t.Fatalf("a path does not find what the tree holds: %+v %v\n%s", plan, failure, body)
		}
	})
}
