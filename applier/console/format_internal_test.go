package console

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestAmountsReadTheSameEverywhere(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0", "132": "132", "1000": "1 000", "11886734": "11 886 734", "-614": "−614", "-1234567.50": "−1 234 567.50",
		"0.000001": "0.000001", "none": "none", "": "",
	} {
		if got := strings.ReplaceAll(amountText(in), thinSpace, " "); got != want {
			t.Errorf("amount %q = %q, want %q", in, got, want)
		}
	}
	for _, tc := range []struct{ operator, amount, want string }{
		{"add", "25", "+25"}, {"subtract", "132", "−132"}, {"add", "0", "+0"}, {"add", "-5", "−5"}, {"subtract", "-5", "+5"},
	} {
		if got := changeText(tc.operator, tc.amount); got != tc.want {
			t.Errorf("%s %s = %q, want %q", tc.operator, tc.amount, got, tc.want)
		}
		tone := "plus"
		if strings.HasPrefix(tc.want, minusSign) {
			tone = "minus"
		}
		if got := changeTone(tc.operator, tc.amount); got != tone {
			t.Errorf("%s is a %s", tc.want, got)
		}
	}
}

func TestCountsHaveTheirNoun(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 attempts", 1: "1 attempt", 2: "2 attempts", 16427: "16" + thinSpace + "427 attempts"} {
		if got := countText(n, "attempt", "attempts"); got != want {
			t.Errorf("%d = %q, want %q", n, got, want)
		}
	}
	one := 1
	if got := countText(int64(one), "attempt", "attempts"); got != "1 attempt" {
		t.Errorf("an int64 = %q", got)
	}
}

func TestDurationsAndTimes(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 ms", 62 * time.Millisecond: "62 ms", 1250 * time.Millisecond: "1.2 s", 2 * time.Second: "2 s", 75500 * time.Millisecond: "1 min 15 s",
		time.Hour: "1 h", 49*time.Hour + 5*time.Minute: "2 d 1 h",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%s = %q, want %q", d, got, want)
		}
	}
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for back, want := range map[time.Duration]string{
		0: "now", 30 * time.Second: "30 s ago", 17*time.Minute + 59*time.Second: "17 min ago", 5 * time.Hour: "5 h ago", 50 * time.Hour: "2 d ago",
		-3 * time.Hour: "in 3 h", 8 * 24 * time.Hour: "2026-11-19 12:00",
	} {
		if got := relativeText(now.Add(-back), now); got != want {
			t.Errorf("%s before = %q, want %q", back, got, want)
		}
	}
}

func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	for _, reason := range delivery.Reasons() {
		if text := reasonText(reason); text == string(reason) || text == "" {
			t.Errorf("%s has no words", reason)
		}
		if reasonText(&reason) != reasonText(reason) {
			t.Errorf("a pointer to %s reads differently", reason)
		}
		if advice[reason] == "" {
			t.Errorf("%s has no advice", reason)
		}
	}
}

func TestForeignTextHidesNothing(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":             "<bdi>plain</bdi>",
		"a\u202egnp.exe":    `<bdi>a\u202egnp.exe</bdi>`,
		"\u2067x\u2069\x00": `<bdi>\u2067x\u2069\u0000</bdi>`,
		"<b>":               "<bdi>&lt;b&gt;</bdi>",
		"👩\u200d🚀 مرحبا":    "<bdi>👩\u200d🚀 مرحبا</bdi>",
	} {
		if got := foreign(in); got != template.HTML(want) {
			t.Errorf("%q = %s, want %s", in, got, want)
		}
	}
}

func TestTheZoneIsThatOfThePerson(t *testing.T) {
	t.Parallel()
	for cookie, want := range map[string]string{
		"": "UTC", "zone=Europe%2FBerlin": "Europe/Berlin", "zone=UTC": "UTC", "zone=Local": "UTC", "zone=..%2F..%2Fetc%2Fpasswd": "UTC", "zone=%zz": "UTC",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", cookie)
		c := &request{Context: echo.New().NewContext(r, httptest.NewRecorder())}
		if got := c.zone().String(); got != want {
			t.Errorf("%q: %s, want %s", cookie, got, want)
		}
	}
}
