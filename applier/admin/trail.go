package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Fact is one thing that an entry of the audit trail says of what was done.
type Fact struct {
	Name, Value string
	// Was is the value before; empty if that is not known.
	Was string
}

// String is the fact in words.
func (f Fact) String() string {
	if f.Was != "" {
		return f.Name + ": " + f.Was + " → " + f.Value
	}
	return f.Name + ": " + f.Value
}

// Facts are what the detail of an entry says, for people. Empty and false values are
// left out. "was" is the former value of the name or the state next to it.
func (e TrailEntry) Facts() (all []Fact) {
	decoder := json.NewDecoder(bytes.NewReader(e.Detail))
	decoder.UseNumber()
	var detail map[string]any
	if decoder.Decode(&detail) != nil {
		return []Fact{{Name: "detail", Value: string(e.Detail)}}
	}
	was := factValue(detail["was"])
	for _, name := range []string{"state", "name"} {
		if value := factValue(detail[name]); was != "" && value != "" {
			all = append(all, Fact{Name: name, Value: value, Was: was})
			delete(detail, name)
			delete(detail, "was")
			break
		}
	}
	return append(all, facts("", detail)...)
}

func facts(prefix string, detail map[string]any) (all []Fact) {
	for name, value := range detail {
		name = prefix + strings.ReplaceAll(name, "_", " ")
		if inner, ok := value.(map[string]any); ok {
			all = append(all, facts(name+" ", inner)...)
		} else if text := factValue(value); text != "" {
			all = append(all, Fact{Name: name, Value: text})
		}
	}
	slices.SortFunc(all, func(a, b Fact) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func factValue(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case bool:
		if !v {
			return ""
		}
		return "yes"
	case []any:
		texts := make([]string, len(v))
		for i, one := range v {
			texts[i] = factValue(one)
		}
		return strings.Join(texts, ", ")
	case map[string]any: // in a list
		var texts []string
		for _, f := range facts("", v) {
			texts = append(texts, f.String())
		}
		return strings.Join(texts, ", ")
	}
	return fmt.Sprint(value)
}

// Community is the one that the entry is about, as far as its detail says.
func (e TrailEntry) Community() string {
	if e.TargetKind == "community" {
		return e.TargetID
	}
	var detail struct{ Community string }
	if json.Unmarshal(e.Detail, &detail) != nil {
		return ""
	}
	return detail.Community
}

// Version is that of the webhook that the entry saved, 0 if it saved none.
func (e TrailEntry) Version() int {
	var detail struct{ Version int }
	if e.TargetKind != "webhook" || json.Unmarshal(e.Detail, &detail) != nil {
		return 0
	}
	return detail.Version
}
