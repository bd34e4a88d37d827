package webhook

import (
	"encoding/json"
	"maps"
	"slices"
)

// SchemaWords are what the schema should have, as JSON: all descriptions and choices.
func SchemaWords() []string {
	words := slices.Collect(maps.Values(descriptions))
	for _, values := range choices {
		for _, v := range values {
			text, _ := json.Marshal(v) // a string
			words = append(words, string(text))
		}
	}
	return words
}
