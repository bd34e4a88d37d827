package cli_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/cli"
)

// TestTables compares what each list command prints of one installation. The file is
// named by the command; its arguments follow.
func TestTables(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.fill()
	var files []string
	for _, line := range [][2]string{
		{"admins list"},
		{"communities list"},
		{"currencies list", "--community club"},
		{"deliveries list"},
		{"dlq groups"},
		{"dlq list"},
		{"fields history"},
		{"fields list", "--community club"},
		{"logs list"},
		{"tokens list"},
		{"trail list"},
		{"users list"},
		{"webhooks backtest", "Shop -f newer.yaml"},
		{"webhooks list"},
		{"webhooks presets"},
		{"webhooks rejections", "Shop"},
		{"webhooks suggest", "Shop -f order.json"},
		{"webhooks try", "Shop -f order.json"},
		{"webhooks versions", "Shop"},
	} {
		call := strings.TrimSpace(line[0] + " " + line[1])
		files = append(files, cli.GoldenName(line[0]))
		r := i.run(strings.Fields(call)...)
		if r.code != 0 {
			t.Errorf("coinhook %s: %+v", call, r)
			continue
		}
		cli.Golden(t, filepath.Join("tables", cli.GoldenName(line[0])), "$ coinhook "+call+"\n"+masked(r.stdout))
	}
	slices.Sort(files)
	cli.CompareFiles(t, "tables", files)
}

// fill gives the installation something for every list: three deliveries that succeed,
// four that fail and one that is pending.
func (i *installation) fill() {
	i.t.Helper()
	i.env["COINHOOK_USER"] = "ann"
	set := func(args string) {
		i.t.Helper()
		if r := i.run(append(strings.Fields(args), "--yes")...); r.code != 0 {
			i.t.Fatalf("coinhook %s: %+v", args, r)
		}
	}
	i.write("shop.yaml", shopYAML)
	i.write("newer.yaml", strings.Replace(shopYAML, "path: coins", "path: bonus", 1))
	i.write("order.json", `{"customer":{"email":"ann@example.com"},"coins":40,"bonus":4}`)
	var shop, club webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
	i.json(&shop, "webhooks", "pause", "Shop")
	i.json(&shop, "webhooks", "resume", "Shop")
	set("currencies set gems --scale 2 --max 1000 --community club --create-community")
	set("fields set favourite_team --type select --option red --option blue --community club")
	set("fields set born --type date --community club")
	i.json(&club, "webhooks", "apply", "--community", "club", "-f", i.write("club.yaml", clubYAML))
	set("users add --email ann@example.com --username ann")
	set("users add --username ada --community club")
	set("tokens add sheet --expires 90d")
	set("tokens add old")
	set("tokens revoke old")
	set("admins add bob --role viewer")

	at := time.Now().Add(-2 * time.Hour)
	i.reject(shop.ID, at, "no secret made this signature")
	i.reject(shop.ID, at.Add(time.Hour), "the timestamp is 9m0s old")
	i.publish(shop.ID, 0, `{"customer":{"email":"ann@example.com"},"coins":40}`)
	i.publish(shop.ID, 0, `{"customer":{"email":"nobody@example.com"},"coins":2}`)
	i.publish(shop.ID, 0, `{"customer":{"email":"somebody@example.com"},"coins":3}`)
	i.publish(shop.ID, 0, `{"customer":{"email":"ann@example.com"},"coins":"many"}`)
	i.settleAll() // communities are settled at the same time: logs would come in any order
	i.publish(club.ID, 0, `{"user":"ada","gems":"12.50","team":"red","coins":1,"born":"1815-12-10"}`)
	i.publish(club.ID, 0, `{"user":"ada","gems":0.1,"team":"blue","coins":1,"born":"1815-12-10"}`)
	i.publish(club.ID, 0, `{"user":"ada","gems":0.1,"team":"green","coins":1,"born":"1815-12-10"}`)
	i.settleAll()
	i.publish(shop.ID, 0, `{"customer":{"email":"ann@example.com"},"coins":1}`)
}

var (
	ids    = regexp.MustCompile(`wh_[a-z2-7]{26}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	times  = regexp.MustCompile(`20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+Z)?`)
	ages   = regexp.MustCompile(`(Oldest pending: )[^(]+ \(`)
	osUser = regexp.MustCompile(`(command )\S+@\S+`)
	gaps   = regexp.MustCompile(`  +|─+`)
)

// masked replaces all that is another one in each run by something of the same width:
// ids by a number in the order of their appearance, times by one time.
func masked(text string) string {
	known := map[string]string{}
	text = ids.ReplaceAllStringFunc(text, func(id string) string {
		if known[id] == "" {
			form := "00000000-0000-0000-0000-%012d"
			if strings.HasPrefix(id, "wh_") {
				form = "wh_%026d"
			}
			known[id] = fmt.Sprintf(form, len(known)+1)
		}
		return known[id]
	})
	text = times.ReplaceAllString(text, "2026-01-02 15:04:05")
	text = ages.ReplaceAllString(text, "${1}AGE (")
	if !osUser.MatchString(text) {
		return text
	}
	text = osUser.ReplaceAllString(text, "${1}OSUSER") // of any width: the columns go by the longest
	return gaps.ReplaceAllStringFunc(text, func(gap string) string { return gap[:min(len(gap), len("  "))] })
}
