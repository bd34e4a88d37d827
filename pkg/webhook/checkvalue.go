package webhook

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// checkPlace wants exactly one of path, header and constant.
func checkPlace(r *report, field string, v Value) {
	places := 0
	for _, set := range []bool{v.Path != "", v.Header != "", v.Constant != nil} {
		if set {
			places++
		}
	}
	switch {
	case places != 1:
		r.add(field, "a value has either a path, a header or a constant")
	case v.Constant != nil && v.Lookup != nil:
		r.add(childField(field, "lookup"), "a constant is never looked up; leave one of them out")
	case v.Constant != nil && v.Default != nil:
		r.add(childField(field, "default"), "a constant is always there; leave one of them out")
	case v.Path != "":
		checkPath(r, childField(field, "path"), v.Path)
	case v.Header != "":
		checkHeader(r, childField(field, "header"), v.Header)
	}
}

func checkAmountValue(r *report, field string, v Value) {
	checkPlace(r, field, v)
	if v.Path == "" && v.Header == "" && v.Constant != nil && !isNumber(*v.Constant) {
		r.add(childField(field, "constant"), notNumber, clip(*v.Constant))
	}
	checkLookup(r, childField(field, "lookup"), v.Lookup, func(field, text string) { checkNumber(r, field, text) })
	if v.Default != nil {
		checkNumber(r, childField(field, "default"), *v.Default)
	}
	if v.Times != "" {
		checkNumber(r, childField(field, "times"), v.Times)
	}
	if v.TimesBy != nil {
		checkSource(r, childField(field, "times"), *v.TimesBy)
	}
	checkClamps(r, field, v)
	if v.Round != "" {
		oneOf(r, childField(field, "round"), v.Round, RoundDown, RoundUp, RoundHalfEven)
	}
}

func checkClamps(r *report, field string, v Value) {
	for _, part := range [][2]string{{"min", v.Min}, {"max", v.Max}} {
		if part[1] != "" {
			checkNumber(r, childField(field, part[0]), part[1])
		}
	}
	least, ok := ParseNumber(v.Min)
	most, okToo := ParseNumber(v.Max)
	if ok && okToo && least.Compare(most) > 0 {
		r.add(childField(field, "max"), "is less than min, which is %s", clip(v.Min))
	}
}

func checkFieldValue(r *report, field string, v Value, check func(text string) error) {
	checkPlace(r, field, v)
	for _, part := range []struct {
		name string
		set  bool
	}{
		{"times", v.Times != "" || v.TimesBy != nil},
		{"min", v.Min != ""},
		{"max", v.Max != ""},
		{"round", v.Round != ""},
		{"signed", v.Signed},
	} {
		if part.set {
			r.add(childField(field, part.name), "is for amounts of a currency; leave it out")
		}
	}
	checkText := func(field, text string) {
		err := check(text)
		if n := utf8.RuneCountInString(text); n > MaxFieldLength {
			err = fmt.Errorf("the value has %d characters; the limit is %d", n, MaxFieldLength)
		}
		if err != nil {
			r.add(field, "%v", err)
		}
	}
	checkLookup(r, childField(field, "lookup"), v.Lookup, checkText)
	if v.Default != nil {
		checkText(childField(field, "default"), *v.Default)
	}
	if v.Constant != nil && v.Path == "" && v.Header == "" {
		checkText(childField(field, "constant"), *v.Constant)
	}
}

func checkLookup(r *report, field string, lookup map[string]string, check func(field, text string)) {
	if lookup == nil {
		return
	}
	if len(lookup) == 0 {
		r.add(field, "has no entries; write one as in {gems_500: \"500\"}, or leave lookup out")
	}
	atMost(r, field, len(lookup), maxLookup)
	for _, key := range slices.Sorted(maps.Keys(lookup)) {
		entry := childField(field, clip(key))
		if n := utf8.RuneCountInString(key); n > maxLookupKey {
			r.add(entry, "the key has %d characters; the limit is %d", n, maxLookupKey)
		}
		check(entry, lookup[key])
	}
}
