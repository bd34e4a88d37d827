package webhooks

import (
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// Diff returns the unified diff of two definitions as Format writes them. It has no
// line numbers, because the texts are short. It is empty if nothing changes. A nil
// before means that the webhook is created.
func Diff(before *webhook.Definition, after webhook.Definition) (string, error) {
	var old []string
	if before != nil {
		text, err := webhook.Format(*before)
		if err != nil {
			return "", err
		}
		old = lines(text)
	}
	text, err := webhook.Format(after)
	if err != nil {
		return "", err
	}
	return unified(old, lines(text)), nil
}

func lines(text []byte) []string {
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// contextLines is how many unchanged lines are shown around a change.
const contextLines = 3

// unified writes the difference of two texts.
func unified(old, now []string) string {
	edits := compare(old, now)
	shown := make([]bool, len(edits))
	for i, e := range edits {
		if e.mark != ' ' {
			for j := max(i-contextLines, 0); j < min(i+contextLines+1, len(edits)); j++ {
				shown[j] = true
			}
		}
	}
	var b strings.Builder
	for i, e := range edits {
		switch {
		case shown[i]:
			fmt.Fprintf(&b, "%c%s\n", e.mark, e.line)
		case i > 0 && shown[i-1] && i+1 < len(edits):
			b.WriteString("@@\n")
		}
	}
	return b.String()
}

type edit struct {
	mark byte // ' ', '-' or '+'
	line string
}

// maxCells bounds the table of compare; beyond it, which no definition reaches
// that a person wrote, all differing lines are shown as replaced.
const maxCells = 4 << 20

// compare finds the longest common subsequence of lines, by the usual table.
func compare(old, now []string) []edit {
	start := 0
	for start < min(len(old), len(now)) && old[start] == now[start] {
		start++
	}
	end := 0
	for end < min(len(old), len(now))-start && old[len(old)-1-end] == now[len(now)-1-end] {
		end++
	}
	edits := make([]edit, 0, len(old)+len(now))
	add := func(mark byte, lines ...string) {
		for _, l := range lines {
			edits = append(edits, edit{mark, l})
		}
	}
	add(' ', old[:start]...)
	a, b := old[start:len(old)-end], now[start:len(now)-end]
	i, j := 0, 0
	if table := common(a, b); table != nil {
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				add(' ', a[i])
				i, j = i+1, j+1
			case table[i+1][j] >= table[i][j+1]:
				add('-', a[i])
				i++
			default:
				add('+', b[j])
				j++
			}
		}
	}
	add('-', a[i:]...)
	add('+', b[j:]...)
	add(' ', old[len(old)-end:]...)
	return edits
}

// common gives, at [i][j], the length of the longest common subsequence of what
// follows line i of one text and line j of the other.
func common(a, b []string) [][]int32 {
	if (len(a)+1)*(len(b)+1) > maxCells {
		return nil
	}
	table := make([][]int32, len(a)+1)
	for i := range table {
		table[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	return table
}
