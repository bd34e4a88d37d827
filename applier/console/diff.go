package console

import "strings"

// diffLine is a line of a difference, with what it is for the eye; what it begins
// with says it without colours.
type diffLine struct{ Class, Text string }

func diffLines(text string) []diffLine {
	var lines []diffLine
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		class := "same"
		switch {
		case strings.HasPrefix(line, "+"):
			class = "added"
		case strings.HasPrefix(line, "-"):
			class = "removed"
		}
		lines = append(lines, diffLine{class, line})
	}
	return lines
}
