package cli_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

type tokenJSON struct {
	Name      string     `json:"name"`
	Community string     `json:"community"`
	State     string     `json:"state"`
	Token     string     `json:"token"`
	CreatedBy string     `json:"created_by"`
	RevokedBy *string    `json:"revoked_by"`
	ExpiresAt *time.Time `json:"expires_at"`
}

func TestTokens(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.env["COINHOOK_USER"] = "anna"

	if r := i.run("tokens", "list", "-o", "json"); r.code != 0 || r.stdout != "[]\n" {
		t.Errorf("none are listed as %+v", r)
	}
	var made, other tokenJSON
	i.json(&made, "tokens", "add", "reports", "--expires", "90d")
	if !regexp.MustCompile(`^cht_[A-Za-z0-9_-]{43}$`).MatchString(made.Token) || made.Community != "default" || made.State != "active" || made.CreatedBy != "anna" {
		t.Errorf("made %+v", made)
	}
	if made.ExpiresAt == nil || time.Until(*made.ExpiresAt).Round(time.Hour) != 90*24*time.Hour {
		t.Errorf("expires %v", made.ExpiresAt)
	}
	i.makeCommunity("other")
	i.json(&other, "tokens", "add", "reports", "--community", "other")
	if other.Community != "other" || other.ExpiresAt != nil {
		t.Errorf("made %+v", other)
	}
	if r := i.run("tokens", "add", "reports"); r.code != 1 || !strings.Contains(r.stderr, `exists already: "reports" in the community "default"`) {
		t.Errorf("a second one of the name: %+v", r)
	}
	for _, args := range [][]string{{"a/b"}, {""}, {" a"}, {"a", "--expires", "soon"}, {"a", "--expires", "0"}} {
		if r := i.run(append([]string{"tokens", "add"}, args...)...); r.code != 2 {
			t.Errorf("add %q: %+v", args, r)
		}
	}

	if r := i.run("tokens", "revoke", "reports"); r.code != 2 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("revoked unasked: %+v", r)
	}
	i.json(new(map[string]string), "tokens", "revoke", "reports")
	if r := i.run("tokens", "revoke", "reports", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "no such token") {
		t.Errorf("revoked twice: %+v", r)
	}
	i.json(new(tokenJSON), "tokens", "add", "reports") // the name is free again

	var list []tokenJSON
	i.json(&list, "tokens", "list", "--community", "default")
	if len(list) != 2 || list[0].State != "active" || list[1].State != "revoked" || list[1].RevokedBy == nil || *list[1].RevokedBy != "anna" {
		t.Errorf("listed %+v", list)
	}
	r := i.run("tokens", "list")
	if strings.Contains(r.stdout, made.Token[4:]) || strings.Count(r.stdout, "reports") != 3 {
		t.Errorf("listed %s", r.stdout)
	}
}
