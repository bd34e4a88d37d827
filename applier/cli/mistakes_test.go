package cli_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/cli"
)

// fullDisk takes nothing, as /dev/full.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestResultsThatCannotBeWrittenAreAFailure(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("webhooks apply -f "+i.write("shop.yaml", shopYAML), "users add --email ann@example.com")
	for _, args := range []string{
		"webhooks rotate-key Shop", "webhooks export Shop", "webhooks show Shop", "webhooks list", "users list", "users show ann@example.com -o json",
		"currencies list", "webhooks schema", "webhooks presets stripe", "audit", "--version", "help", "dlq groups -o json", "completion bash",
	} {
		var stderr appliertest.Log
		code := cli.Run(t.Context(), cli.Process{
			Args: strings.Fields(args), Env: i.env, Dir: i.dir, Stdin: strings.NewReader(""), Stdout: fullDisk{}, Stderr: &stderr,
		})
		if code != 1 || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("coinhook %s on a full disk: exit %d: %s", args, code, stderr.String())
		}
	}
}

func TestExportsOverwriteOnlyWhenForced(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.bring(manyLetters(2)...)
	i.do("dlq export -f letters.jsonl")
	before := i.read("letters.jsonl")
	if r := i.run("dlq", "export", "-f", "letters.jsonl", "--until", "2020-01-01"); r.code != 1 || !strings.Contains(r.stderr, "--force") || i.read("letters.jsonl") != before {
		t.Errorf("over an export: %+v", r)
	}
	i.do("dlq export -f letters.jsonl --until 2020-01-01 --force")
	if i.read("letters.jsonl") != "" {
		t.Error("it is not forced")
	}

	i.do("webhooks apply -f "+i.write("shop.yaml", shopYAML), "webhooks export --all out", "webhooks export --all out")
	i.write("out/shop.yaml", "# mine\n")
	if r := i.run("webhooks", "export", "--all", "out"); r.code != 1 || !strings.Contains(r.stderr, "--force") || i.read("out/shop.yaml") != "# mine\n" {
		t.Errorf("over a definition: %+v", r)
	}
	i.do("webhooks export --all out --force")
	if !strings.Contains(i.read("out/shop.yaml"), "name: Shop") {
		t.Error("the definition is not forced")
	}
}

func TestMistypedCommandsSayWhatWasMeant(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	i.write("letters", "")
	for args, want := range map[string]string{
		"webhooks apply shop.yaml":               "A file goes after -f: coinhook webhooks apply -f shop.yaml",
		"webhooks try Shop payload.json":         "A file goes after -f: coinhook webhooks try -f payload.json",
		"dlq export letters":                     "A file goes after -f: coinhook dlq export -f letters",
		"webhooks show shop purchases":           `A name with spaces stands in quotes: coinhook webhooks show "shop purchases"`,
		"webhooks delete the big shop --yes":     `coinhook webhooks delete "the big shop"`,
		"currencies set coins --min -100":        "stands after =: --min=-100",
		"webhoks list":                           `did you mean "webhooks"`,
		"deliveries list --statuss failed":       `did you mean "--status"`,
		"deliveries list --before 12":            "",
		"users list --limit many":                "--limit: want a whole number, not \"many\"",
		"setup --max-bytes 1GB":                  "--max-bytes: want a whole number, not \"1GB\"",
		"users set ann --external steam":         "--external: want KIND=ID, such as steam=76561198000000000, not \"steam\"",
		"users set ann --external c=,b=,a=":      "--external a= has no id",
		"users adjust ann --key --add 5":         "--key has no value: --add follows it",
		"users adjust ann coins 5 --note x":      "After USER it takes flags only",
		"users export ann -f out.json":           "unknown flag -f. The result goes to the standard output: coinhook users export … > FILE",
		"users import -f users.csv":              "unknown flag -f. The file stands without it: coinhook users import FILE",
		"users adjust -f users.csv --note x":     "unknown flag -f. The flag is --file",
		"setup --wait 5":                         "--wait: want a duration such as 30s or 2m, not \"5\"",
		"dlq export out.jsonl":                   "A file goes after -f: coinhook dlq export -f out.jsonl",
		"dlq list --reason user_not_fuond":       "there is no reason \"user_not_fuond\": did you mean \"user_not_found\"?",
		"users remove jenny":                     "The commands here are import, add, set, list",
		"version":                                "coinhook --version",
		"users add bob@example.com":              "It takes flags only. See coinhook users add --help",
		"logs --user jenny":                      "See coinhook logs --help",
		"deliveries list --status done":          `must be one of "pending","success","failed"`,
		"deliveries list --until 1h --since 30m": "--until has to be later than --since",
		"users list --community Big":             "--community: want 1 to 63 of a-z",
	} {
		if r := i.run(strings.Fields(args)...); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("coinhook %s: %+v, want exit 2 and %s", args, r, want)
		}
	}
}

func TestAnEmptyListSaysWhereTheRequestsAre(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", strings.Replace(shopYAML, "state: active\n", "", 1)))
	for _, args := range []string{"deliveries list", "deliveries list --webhook Shop"} {
		if r := i.run(strings.Fields(args)...); r.code != 0 || !strings.Contains(r.stderr, `"Shop" is a draft`) || !strings.Contains(r.stderr, "coinhook webhooks catch "+shop.ID) {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if r := i.run("logs", "list", "--currency", "coin", "-o", "json"); r.code != 0 || strings.TrimSpace(r.stdout) != "[]" || !strings.Contains(r.stderr, `There is no currency "coin": did you mean "coins"?`) {
		t.Errorf("a currency that there is not: %+v", r)
	}
	i.do("fields set team --type text")
	if r := i.run("fields", "history", "--field", "teem"); r.code != 0 || !strings.Contains(r.stderr, `There is no custom field "teem": did you mean "team"? `+"`coinhook fields list`") {
		t.Errorf("a custom field that there is not: %+v", r)
	}
	if r := i.run("fields", "history", "--field", "team"); strings.Contains(r.stderr, "no custom field") {
		t.Errorf("a custom field that there is: %+v", r)
	}
	for _, list := range []string{"dlq", "trail", "deliveries", "logs"} {
		if r := i.run(list, "list", "--since", "2999-01-01"); r.code != 0 || !strings.Contains(r.stderr, "--since 2999-01-01 is in the future") {
			t.Errorf("%s since a time that is to come: %+v", list, r)
		}
	}
	if r := i.run("users", "show", " "); r.code != 2 || !strings.Contains(r.stderr, "the user is empty: give an id") {
		t.Errorf("nobody: %+v", r)
	}
	if r := i.run("logs", "list", "--currency", "coins"); strings.Contains(r.stderr, "no currency") {
		t.Errorf("a currency that there is: %+v", r)
	}
}

func TestAMistypedWebhookSuggestsTheNearOnes(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("webhooks apply -f " + i.write("shop.yaml", strings.Replace(shopYAML, "Shop", "Shop purchases", 1)))
	for name, want := range map[string]string{"shop purchases": `did you mean "Shop purchases"?`, "Shop purchase": `did you mean "Shop purchases"?`, "Game": "`coinhook webhooks list` lists all"} {
		if r := i.run("webhooks", "show", name); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestAMistypedUserSuggestsTheNearOnes(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("users add --email ann@example.com --username ann_the_first --external steam=7656")
	const none = "`coinhook users list` lists the users"
	for args, want := range map[string]string{
		"users show anm@example.com":                                        `no such user: "anm@example.com" in the community "default": did you mean "ann@example.com"?`,
		"users set ann_the_frist --username x":                              `did you mean "ann_the_first"?`,
		"users adjust an@example.com --currency coins --add 1 --note gift":  `did you mean "ann@example.com"?`,
		"users delete ann --yes":                                            `did you mean "ann@example.com"`,
		"users export steem=7656":                                           `did you mean "steam=7656"?`,
		"users show zebedee":                                                none,
		"users show 00000000-0000-7000-8000-000000000000":                   none,
		"logs list --user ann@exmaple.com":                                  `did you mean "ann@example.com"?`,
		"users adjust --note gift --file " + i.write("gifts.csv", giftsCSV): `gifts.csv: line 2: no such user: "ann@example.co" in the community "default": did you mean "ann@example.com"?`,
	} {
		if r := i.run(strings.Fields(args)...); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("coinhook %s: %+v, want %s", args, r, want)
		}
	}
}

const giftsCSV = "user,currency,operator,amount,key\nann@example.co,coins,add,1,k\n"

func TestFilesThatAreNoneSayWhatToDo(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("users add --email ann@example.com")
	for args, want := range map[string]string{
		"users import .": ". is a folder: name a file",
		"users import " + i.write("empty.csv", ""):                            "empty.csv: the file is empty: it needs a first line that names the columns: email,username",
		"users import " + i.write("utf16.csv", "\xff\xfee\x00m\x00\n\x00"):    "utf16.csv: the file is UTF-16: save it as CSV in UTF-8",
		"users import " + i.write("sheet.xlsx", "PK\x03\x04\x00\xff;\n"):      "sheet.xlsx: the file is not UTF-8 text: export it as CSV in UTF-8",
		"users adjust --note x --file .":                                      ". is a folder: name a file",
		"users list --before ann":                                             "--before: want a user's id",
		"dlq import .":                                                        ". is a folder: name a file",
		"dlq import " + i.write("empty.jsonl", ""):                            "empty.jsonl is empty: `coinhook dlq export` writes a line for each dead letter.",
		"dlq import " + i.write("users.csv", "email\na@x\n"):                  "users.csv: line 1: it is not JSON at byte 0, as the lines of an export are",
		"dlq export -f no/such/folder.jsonl":                                  "the folder of no/such/folder.jsonl: ",
		"users adjust ann@example.com --note x --currency coins --add a-lot":  "--add: \"a-lot\" is not a number",
		"users adjust ann@example.com --note x --currency coin --subtract 1":  "--currency: the community \"default\" has no currency \"coin\": did you mean \"coins\"?",
		"users adjust ann@example.com --note x --currency coins --subtract 0": "--subtract: an amount must be more than 0",
	} {
		if r := i.run(strings.Fields(args)...); r.code == 0 != strings.Contains(args, "empty.jsonl") || !strings.Contains(r.stderr, want) {
			t.Errorf("coinhook %s: %+v, want %s", args, r, want)
		}
	}
}

func TestABrokenDefinitionSaysWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	for name, c := range map[string]struct{ text, want string }{
		"cut.json":    {"{\"name\": \"Shop\",\n \"auth\": {\"api_key\": true,", "nothing was changed: cut.json: line 2: the JSON ends too early: the { of line 2 is not closed. Is the file cut?"},
		"empty.json":  {"", "empty.json: line 1: there is nothing here; a definition needs at least a name"},
		"two.json":    {"{\"name\": \"Shop\"}\n{\"name\": \"Game\"}\n", "two.json: line 2: one file holds one document; put this one into a file of its own"},
		"two.yaml":    {"name: Shop\n---\nname: Game\n", "two.yaml: line 3: one file holds one document; put this one into a file of its own"},
		"program":     {"\x7fELF\x02\x01\x01\x00", "program: line 1: a byte here is 0"},
		"picture.png": {"\x89PNG\r\n\x1a\n", "picture.png: line 1: the text is not UTF-8: save the file as YAML or JSON in UTF-8"},
		"utf16.yaml":  {"\xff\xfen\x00a\x00m\x00e\x00", "utf16.yaml: line 1: the text is UTF-16; save the file as UTF-8"},
	} {
		if r := i.run("webhooks", "apply", "-f", i.write(name, c.text)); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: %+v, want %s", name, r, c.want)
		}
	}
}

// Lists span communities unless one is named.
func TestListsOfAllCommunitiesNameThem(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.applied(`"coins":5,"team":"red"`, `"coins":"x","team":"red"`)
	for _, args := range []string{"deliveries list", "dlq list", "dlq groups", "users list", "webhooks list", "logs list"} {
		if r := i.run(strings.Fields(args)...); r.code != 0 || !strings.Contains(strings.SplitN(r.stdout, "\n", 2)[0], "COMMUNITY") {
			t.Errorf("%s has no such column:\n%s", args, r.stdout)
		}
		if r := i.run(append(strings.Fields(args), "--community", "default")...); r.code != 0 || strings.Contains(args, "l") && !strings.HasPrefix(args, "users") && !strings.HasPrefix(args, "webhooks") && strings.Contains(r.stdout, "COMMUNITY") {
			t.Errorf("%s of one community has the column:\n%s", args, r.stdout)
		}
	}
}

func TestListsGoOnFromTheLastLine(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.applied(`"coins":5,"team":"red"`, `"coins":7,"team":"blue"`, `"coins":1,"team":"blue"`)
	var page []deliveryJSON
	i.json(&page, "deliveries", "list", "--limit", "1", "--before", ids[2].String())
	if len(page) != 1 || page[0].ID != ids[1].String() {
		t.Errorf("the page is %+v", page)
	}
	if r := i.run("deliveries", "list", "--limit", "2"); !strings.Contains(r.stderr, "--before "+ids[1].String()) {
		t.Errorf("a page that is full: %+v", r)
	}
	i.do("users add --email u1@example.com")
	var users []struct{ ID, Email string }
	i.json(&users, "users", "list", "--limit", "1")
	i.json(&users, "users", "list", "--before", users[0].ID)
	if len(users) != 1 || users[0].Email != "u0@example.com" {
		t.Errorf("users of the next page: %+v", users)
	}
	if r := i.run("users", "list", "--before", "12"); r.code != 2 {
		t.Errorf("no id: %+v", r)
	}
}

func TestATableFitsANarrowTerminal(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.applied(`"coins":5,"team":"red"`)
	for _, args := range []string{"deliveries list", "logs list", "users list", "webhooks list"} {
		for width, wide := range map[int]bool{0: true, 60: false, 400: true} {
			var stdout, stderr bytes.Buffer
			code := cli.Run(t.Context(), cli.Process{Args: strings.Fields(args), Env: i.env, Dir: i.dir, Stdout: &stdout, Stderr: &stderr, Width: width})
			isTable := strings.Contains(strings.SplitN(stdout.String(), "\n", 2)[0], "  ") && strings.Count(stdout.String(), "\n") < 4
			if code != 0 || isTable != wide {
				t.Errorf("%s at %d: %d %s\n%s", args, width, code, stderr.String(), stdout.String())
			}
			for line := range strings.Lines(stdout.String()) {
				if !wide && utf8.RuneCountInString(line) > 61 {
					t.Errorf("%s: a line of %d at %d: %s", args, utf8.RuneCountInString(line), width, line)
				}
			}
		}
	}
}

func TestADatabaseWithoutTLSSaysSo(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	url, _, _ := strings.Cut(i.env["DATABASE_URL"], "?")
	if strings.Contains(i.env["DATABASE_URL"], "host=%2F") || strings.Contains(i.env["DATABASE_URL"], "host=/") {
		t.Skip("the test's server is reached by a socket")
	}
	i.env["DATABASE_URL"] = url
	if r := i.run("users", "list"); r.code != 1 || !strings.Contains(r.stderr, "?sslmode=disable") {
		t.Errorf("%+v", r)
	}
}
