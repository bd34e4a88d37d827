package cli_test

import (
	"strings"
	"testing"
)

func TestUsersAdjust(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("users add --email ann@example.com", "currencies set gems --scale 2")
	defer i.startApplier()()
	var d struct {
		ID, Webhook, Source, Status, Outcome, Reason string
		Payload                                      string
		Changes                                      []struct{ Currency, Operator, Amount, Balance string }
	}
	i.json(&d, "users", "adjust", "ann@example.com", "--currency", "gems", "--add", "12.50", "--note", "sorry", "--key", "a1")
	if d.Status != "success" || d.Outcome != "applied" || d.Webhook != "Adjustment: sorry" || d.Source != "admin" || len(d.Changes) != 1 || d.Changes[0].Balance != "12.50" {
		t.Fatalf("adjusted as %+v", d)
	}
	if !strings.Contains(d.Payload, `"key":"a1"`) {
		t.Errorf("the payload is shown as %s", d.Payload)
	}
	i.json(&d, "users", "adjust", "ann@example.com", "--currency", "gems", "--add", "12.50", "--note", "sorry", "--key", "a1")
	if d.Outcome != "duplicate" {
		t.Errorf("with the same key: %+v", d)
	}
	if r := i.run("users", "adjust", "ann@example.com", "--currency", "gems", "--subtract", "99", "--note", "x"); r.code != 1 || !strings.Contains(r.stdout, "insufficient_balance") {
		t.Errorf("too much: %+v", r)
	}
	i.json(&d, "users", "adjust", "ann@example.com", "--currency", "gems", "--subtract", "2.5", "--note", "mistake")
	if len(d.Changes) != 1 || d.Changes[0].Balance != "10.00" || d.Changes[0].Operator != "subtract" {
		t.Errorf("subtracted as %+v", d)
	}
	var logs []struct{ Action string }
	i.json(&logs, "logs", "list")
	if len(logs) != 2 || logs[1].Action != "Adjustment: sorry" {
		t.Errorf("logs are %+v", logs)
	}
	file := i.write("a.csv", "user,currency,operator,amount,key\nann@example.com,coins,add,5,k1\nann@example.com,coins,add,7,k2\n")
	for range 2 {
		i.do("users adjust --file " + file + " --note season")
	}
	i.do("users adjust --file " + i.write("b.csv", "user,currency,operator,amount,key\nann@example.com,xp,add,1,k3\n"))
	i.settleAll()
	if i.json(&logs, "logs", "list", "--currency", "xp"); len(logs) != 1 || logs[0].Action != "Adjustment: from a file" {
		t.Errorf("logs are %+v", logs)
	}
	var u struct{ Balances map[string]string }
	i.json(&u, "users", "show", "ann@example.com")
	if u.Balances["coins"] != "12" || u.Balances["gems"] != "10.00" {
		t.Errorf("balances are %v", u.Balances)
	}
	if r := i.run("audit"); r.code != 0 {
		t.Errorf("audit: %+v", r)
	}
	for _, tc := range []struct{ args, says string }{
		{"users adjust ann@example.com --currency gems --add 1", "--note"},
		{"users adjust ann@example.com --currency gems --add 1 --subtract 1 --note x", "--add or --subtract"},
		{"users adjust ann@example.com --currency gold --add 1 --note x", "no currency"},
		{"users adjust ann@example.com --currency gems --add 1.234 --note x", "decimals"},
		{"users adjust ann@example.com --currency gems --add=-5 --note x", "more than 0"},
		{"users adjust ann@example.com --currency coin --add 1 --note x", `did you mean "coins"?`},
	} {
		if r := i.run(strings.Fields(tc.args)...); r.code != 2 || !strings.Contains(r.stderr, tc.says) {
			t.Errorf("%s: %+v, want exit 2 and %q", tc.args, r, tc.says)
		}
	}
}

func TestAFileOfAdjustmentsThatIsWrongSaysWhere(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("users add --email ann@example.com")
	const header = "user,currency,operator,amount,key\n"
	for text, want := range map[string]string{
		"":                                       "the file is empty; its first line is user,currency,operator,amount,key",
		header:                                   "there is no line after the first one",
		"user,amount\nann,5\n":                   "the first line is user,amount, and should be user,currency,operator,amount,key",
		"user;currency;operator\na;b;c":          "separated by semicolons: save the file with commas",
		header + "ann@example.com,coins,add,5\n": "line 2: it has 4 cells, and needs 5: user,currency,operator,amount,key",
		header + "ann@example.com,coins,add,5,\n":                                      "line 2: it has no key",
		header + "ann@example.com,coins,add,5,k\nann@example.com,coins,add,6,k\n":      `line 3: it has the key "k" of line 2`,
		header + "ann@example.com,coins,plus,5,k\n":                                    "line 2: an operator is add or subtract",
		header + "ann@example.com,coins,add,5,a\n\nann@example.com,coins,add,five,b\n": `line 4: "five" is not a number`,
		header + "\"ann@example.com,coins,add,5,a\n":                                   "line 2",
		"\uFEFF" + header + "anm@example.com,coins,add,5,a\n":                          "line 2: no such user",
	} {
		file := i.write("bad.csv", text)
		if r := i.run("users", "adjust", "--file", file, "--note", "gift", "--yes"); r.code == 0 || r.stdout != "" || !strings.Contains(r.stderr, "nothing was changed: bad.csv: ") || !strings.Contains(r.stderr, want) {
			t.Errorf("%q: %+v, want %s", text, r, want)
		}
	}
	var published []struct{ ID string }
	if i.json(&published, "deliveries", "list"); len(published) > 0 {
		t.Errorf("published %v", published)
	}
}
