package console

import (
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Text has 4.5 times the light of what is behind it, or the other way round, and what
// bounds a field 3 times: WCAG 2.2, 1.4.3 and 1.4.11. In light and in dark.
func TestColoursHaveContrast(t *testing.T) {
	t.Parallel()
	css := sheet(t)
	tokens := map[string][2]string{}
	for _, m := range regexp.MustCompile(`(--[a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`).FindAllStringSubmatch(css, -1) {
		tokens[m[1]] = [2]string{m[2], m[3]}
	}
	for _, pair := range []struct {
		text, behind string
		least        float64
	}{
		{"--text", "--bg", 4.5},
		{"--text", "--surface", 4.5},
		{"--text", "--raised", 4.5},
		{"--text", "--accent-soft", 4.5},
		{"--muted", "--bg", 4.5},
		{"--muted", "--surface", 4.5},
		{"--muted", "--raised", 4.5},
		{"--muted", "--accent-soft", 4.5},
		{"--accent", "--bg", 4.5},
		{"--accent", "--surface", 4.5},
		{"--accent", "--raised", 4.5},
		{"--accent", "--accent-soft", 4.5},
		{"--on-fill", "--accent-fill", 4.5},
		{"--on-fill", "--bad-fill", 4.5},
		{"--good", "--bg", 4.5},
		{"--good", "--surface", 4.5},
		{"--good", "--good-soft", 4.5},
		{"--good", "--accent-soft", 4.5},
		{"--bad", "--bg", 4.5},
		{"--bad", "--surface", 4.5},
		{"--bad", "--bad-soft", 4.5},
		{"--bad", "--accent-soft", 4.5},
		{"--wait", "--bg", 4.5},
		{"--wait", "--wait-soft", 4.5},
		{"--late", "--bg", 4.5},
		{"--late", "--late-soft", 4.5},
		{"--text", "--good-soft", 4.5},
		{"--text", "--bad-soft", 4.5},
		{"--text", "--late-soft", 4.5},
		{"--edge", "--bg", 3},
		{"--accent", "--bg", 3},
	} {
		text, behind := tokens[pair.text], tokens[pair.behind]
		if text[0] == "" || behind[0] == "" {
			t.Errorf("there is no %s or no %s", pair.text, pair.behind)
			continue
		}
		for i, scheme := range []string{"light", "dark"} {
			if got := contrast(text[i], behind[i]); got < pair.least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", scheme, pair.text, pair.behind, got, pair.least)
			}
		}
	}
}

// Colours are chosen in one place: a page that has its own has no dark one.
func TestColoursAreTokens(t *testing.T) {
	t.Parallel()
	for i, line := range strings.Split(sheet(t), "\n") {
		isToken := strings.HasPrefix(line, "  --") || strings.HasPrefix(line, "@property") || strings.Contains(line, "url(\"data:")
		if !isToken && regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b[^{]*;|\b(hsl|oklch)\(`).MatchString(line) {
			t.Errorf("app.css:%d has a colour of its own: %s", i+1, line)
		}
	}
}

func sheet(t *testing.T) string {
	t.Helper()
	css, err := fs.ReadFile(files, "static/app.css")
	if err != nil {
		t.Fatal(err)
	}
	return string(css)
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of WCAG, of #rrggbb.
func luminance(hex string) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if err != nil {
			panic(err) // the expression lets digits through only
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
