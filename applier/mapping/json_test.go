package mapping_test

import (
	"strings"
	"testing"
)

// A payload is read as RFC 8259 says, and strictly where it leaves a choice. Each
// value stands alone in the document, or beside the members that a webhook needs.
func TestStrictJSON(t *testing.T) {
	t.Parallel()
	const definition = "name: N\nstate: active\nuser: {by: username, path: u}\n" +
		"mappings: [{currency: coins, operator: add, value: {constant: 1}}]"
	good := map[string]string{
		"blanks of all four kinds":        " \t\r\n{\"u\" :\t\"a\"}\r\n ",
		"numbers in every form":           `{"u":"a","n":[0,-0,10,1.5,-1.50,1e5,1E+5,1e-5,0.0e0,123456789012345678901234567890]}`,
		"a number beyond any float":       `{"u":"a","n":1e400}`,
		"every escape":                    `{"u":"a","s":"\"\\\/\b\f\n\r\t\u0000\uABCD\uabcd"}`,
		"an escaped surrogate pair":       `{"u":"a","s":"\ud834\udd1e"}`,
		"characters outside of the BMP":   `{"u":"a","s":"𝄞😀"}`,
		"a delete character":              "{\"u\":\"a\",\"s\":\"\x7f\"}",
		"line separators":                 "{\"u\":\"a\",\"s\":\"\u2028\u2029\"}",
		"an empty name":                   `{"u":"a","":0}`,
		"empty containers":                `{"u":"a","o":{},"l":[],"e":[{},[]]}`,
		"the same name in other objects":  `{"u":"a","o":{"u":1},"l":[{"u":1},{"u":2}]}`,
		"names that differ in case":       `{"u":"a","U":"b"}`,
		"brackets in strings":             `{"u":"a","s":"` + strings.Repeat("[", 70) + `\"` + strings.Repeat("{", 70) + `"}`,
		"64 levels":                       `{"u":"a","d":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
		"many arrays, none of them deep":  `{"u":"a","d":[` + strings.Repeat("[],", 200) + `[]]}`,
		"a thousand names in one object":  `{"u":"a"` + manyNames(1000) + `}`,
		"a string of a hundred thousands": `{"u":"a","s":"` + strings.Repeat("x", 100_000) + `"}`,
	}
	for name, body := range good {
		t.Run("accepts "+name, func(t *testing.T) {
			t.Parallel()
			checkAnswer(t, definition, body, "", "")
		})
	}
	for name, body := range badJSON() {
		t.Run("refuses "+name, func(t *testing.T) {
			t.Parallel()
			failure := checkAnswer(t, definition, body, "invalid_json", "")
			if strings.Contains(failure.Detail, "hush") {
				t.Errorf("the detail quotes the payload: %q", failure.Detail)
			}
			if !strings.Contains(failure.Detail, " at byte ") {
				t.Errorf("the detail names no position: %q", failure.Detail)
			}
		})
	}
	for name, body := range map[string]string{
		"a string": `"u"`, "a number": `-1.5`, "null": `null`, "true": `true`, "an array": `["u"]`, "an empty object": `{}`,
	} {
		t.Run("finds no user in "+name+" alone", func(t *testing.T) {
			t.Parallel()
			checkAnswer(t, definition, body, "missing_user_identifier", "u")
		})
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"n` + strings.Repeat("x", i%7) + string(rune('0'+i%10)) + strings.Repeat("y", i/10) + `":0`)
	}
	return b.String()
}

func badJSON() map[string]string {
	return map[string]string{
		"nothing":                         "",
		"blanks only":                     " \n\t",
		"a byte order mark":               "\uFEFF{\"u\":\"a\"}",
		"two documents":                   `{"u":"a"} {"u":"hush"}`,
		"a document and a bracket":        `{"u":"a"}]`,
		"a document and a byte":           "{\"u\":\"a\"}\x00",
		"a document and a broken one":     `{"u":"a"}{"hush`,
		"a name twice":                    `{"u":"a","u":"hush"}`,
		"a name twice, once escaped":      `{"u":"a","\u0075":"hush"}`,
		"a name twice deep inside":        `{"u":"a","x":[{"hush":1,"y":2,"hush":3}]}`,
		"a byte that is not UTF-8":        "{\"u\":\"a\",\"s\":\"hush\xff\"}",
		"an overlong sequence":            "{\"u\":\"a\",\"s\":\"\xc0\xaf\"}",
		"a surrogate in UTF-8":            "{\"u\":\"a\",\"s\":\"\xed\xa0\x80\"}",
		"UTF-16":                          "\xff\xfe{\x00}\x00",
		"half of an escaped pair":         `{"u":"a","s":"\ud834"}`,
		"an escaped pair in wrong order":  `{"u":"a","s":"\udd1e\ud834"}`,
		"a raw control character":         "{\"u\":\"a\",\"s\":\"\n\"}",
		"an unknown escape":               `{"u":"a","s":"\x41"}`,
		"a short unicode escape":          `{"u":"a","s":"\u12"}`,
		"a comma at the end":              `{"u":"a",}`,
		"a comma at the end of an array":  `{"u":"a","l":[1,]}`,
		"two commas":                      `{"u":"a","l":[1,,2]}`,
		"no comma":                        `{"u":"a" "v":1}`,
		"no colon":                        `{"u" "a"}`,
		"a name without quotes":           `{hush:1}`,
		"a number as a name":              `{1:"hush"}`,
		"single quotes":                   `{'u':'hush'}`,
		"a comment":                       `{"u":"a"/* hush */}`,
		"a leading zero":                  `{"u":"a","n":01}`,
		"a leading plus":                  `{"u":"a","n":+1}`,
		"a dot without digits":            `{"u":"a","n":1.}`,
		"a dot at the start":              `{"u":"a","n":.5}`,
		"an exponent without digits":      `{"u":"a","n":1e}`,
		"a lone minus":                    `{"u":"a","n":-}`,
		"hexadecimal":                     `{"u":"a","n":0x10}`,
		"NaN":                             `{"u":"a","n":NaN}`,
		"Infinity":                        `{"u":"a","n":-Infinity}`,
		"a literal in capitals":           `{"u":"a","n":True}`,
		"an object without its end":       `{"u":"a"`,
		"a string without its end":        `{"u":"hush`,
		"the wrong closing bracket":       `{"u":"a","l":[1}`,
		"65 levels":                       `{"u":"a","d":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
		"65 levels of objects":            `{"u":"a","d":` + strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64) + `}`,
		"half a million levels":           strings.Repeat("[", 1<<19),
		"half a million levels of object": strings.Repeat(`{"":`, 1<<17),
	}
}

func TestNestingIsNamed(t *testing.T) {
	t.Parallel()
	for _, levels := range []int{65, 9_999, 10_001, 1 << 19} {
		failure := checkAnswer(t, twoMappings, strings.Repeat("[", levels)+strings.Repeat("]", levels), "invalid_json", "")
		if !strings.Contains(failure.Detail, "nested too deep at byte 64: the limit is 64") {
			t.Errorf("%d levels: %q", levels, failure.Detail)
		}
	}
}
