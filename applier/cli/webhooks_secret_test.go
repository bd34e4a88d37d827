package cli_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"
)

type secretJSON struct {
	webhookJSON
	Secret string `json:"secret"`
}

const githubYAML = "name: GitHub\nauth: {signature: github}\n"

func TestSetSecret(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	r := i.run("webhooks", "apply", "-f", i.write("github.yaml", githubYAML))
	if r.code != 0 || !strings.Contains(r.stderr, "no signing secret") || !strings.Contains(r.stderr, "coinhook webhooks set-secret wh_") || strings.Contains(r.stderr, "anybody") {
		t.Fatalf("apply does not say what is missing: %+v", r)
	}
	if r := i.run("webhooks", "show", "GitHub"); !strings.Contains(r.stdout, "none: requests are answered 503") || strings.Contains(r.stdout, "anybody") {
		t.Errorf("show: %+v", r)
	}
	var set secretJSON
	i.json(&set, "webhooks", "set-secret", "GitHub", "--secret", "hunter2")
	if set.Version != 2 || set.Secret != "" || set.ID == "" {
		t.Errorf("a given secret: %+v", set)
	}
	if r := i.run("webhooks", "set-secret", "GitHub", "--secret", "hunter2"); r.code != 0 || !strings.Contains(r.stdout, "already") {
		t.Errorf("the same secret again: %+v", r)
	}
	i.json(&set, "webhooks", "set-secret", "GitHub")
	if set.Version != 3 || len(set.Secret) != 43 {
		t.Errorf("a made secret: %+v", set)
	}
	for _, args := range [][]string{{"webhooks", "show", "GitHub"}, {"webhooks", "show", "GitHub", "-o", "json"}, {"webhooks", "export", "GitHub"}, {"webhooks", "versions", "GitHub"}, {"trail", "list"}} {
		if r := i.run(args...); strings.Contains(r.stdout+r.stderr, set.Secret) || strings.Contains(r.stdout+r.stderr, "hunter2") {
			t.Errorf("%q shows the secret: %+v", args, r)
		}
	}
	if r := i.run("webhooks", "show", "GitHub"); !strings.Contains(r.stdout, "works until") {
		t.Errorf("show has no overlap: %s", r.stdout)
	}
	if r := i.answering(false, "whsec_bm90IGEgc2VjcmV0\n", "webhooks", "set-secret", "GitHub", "--secret-stdin", "--overlap", "0"); r.code != 0 || !strings.Contains(r.stdout, "older ones work no more") || strings.Contains(r.stdout, "whsec") {
		t.Errorf("from the standard input: %+v", r)
	}
}

func TestSetSecretRefuses(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	for name, auth := range map[string]string{"Discord": "{signature: discord}", "Svix": "{signature: standard-webhooks}", "Keyed": "{api_key: true}", "Both": "{signature: github, basic: {username: a}}"} {
		i.mustRun("webhooks", "apply", "-f", i.write(name+".yaml", "name: "+name+"\nauth: "+auth+"\n"))
	}
	for _, tt := range []struct {
		about string
		args  []string
		code  int
		want  string
	}{
		{"a public key is the sender's to make", []string{"Discord"}, 2, "give its public key"},
		{"no public key", []string{"Discord", "--secret", "hunter2"}, 2, "want hex, base64 or PEM"},
		{"another form", []string{"Svix", "--secret", "whsec_hunter%"}, 2, "whsec_…"},
		{"nothing asks for one", []string{"Keyed"}, 1, "neither a signature nor basic"},
		{"a flag that is none", []string{"Both", "--for", "both"}, 2, "--for"},
		{"an overlap that is none", []string{"Both", "--overlap", "soon"}, 2, "--overlap"},
	} {
		if r := i.run(append([]string{"webhooks", "set-secret"}, tt.args...)...); r.code != tt.code || !strings.Contains(r.stderr, tt.want) || strings.Contains(r.stderr, "hunter") {
			t.Errorf("%s: %+v", tt.about, r)
		}
	}
	if r := i.answering(false, "", "webhooks", "set-secret", "Both", "--secret-stdin"); r.code != 2 {
		t.Errorf("nothing on the standard input: %+v", r)
	}
	if r := i.run("webhooks", "set-secret", "Both"); r.code != 0 || !strings.Contains(r.stdout, "signing secret") || !strings.Contains(r.stderr, "--for basic") {
		t.Errorf("of both, the signature: %+v", r)
	}
	if r := i.run("webhooks", "set-secret", "Both", "--for", "basic"); r.code != 0 || !strings.Contains(r.stdout, "username a") || r.stderr != "" {
		t.Errorf("the password: %+v", r)
	}
	i.env["COINHOOK_MASTER_KEY"] = ""
	if r := i.run("webhooks", "set-secret", "Both"); r.code != 2 || !strings.Contains(r.stderr, "COINHOOK_MASTER_KEY") {
		t.Errorf("without the master key: %+v", r)
	}
}

type signedJSON struct {
	Method, URL, Body, Curl string
	Headers                 map[string]string
}

func TestSign(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.mustRun("webhooks", "apply", "-f", i.write("github.yaml", githubYAML))
	i.write("event.json", `{"a": "it's"}`+"\n")
	if r := i.run("sign", "GitHub", "-f", "event.json"); r.code != 1 || !strings.Contains(r.stderr, "set-secret") {
		t.Errorf("without a secret: %+v", r)
	}
	i.mustRun("webhooks", "set-secret", "GitHub", "--secret", "hunter2")
	var got signedJSON
	i.json(&got, "sign", "GitHub", "-f", "event.json")
	mac := hmac.New(sha256.New, []byte("hunter2"))
	mac.Write([]byte(got.Body))
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); got.Headers["X-Hub-Signature-256"] != want || got.Method != "POST" ||
		!strings.Contains(got.URL, "/hooks/wh_") || got.Body != `{"a": "it's"}`+"\n" || got.Headers["X-Github-Event"] == "" || got.Headers["X-Github-Delivery"] == "" {
		t.Errorf("signed as %+v, want %s", got, want)
	}
	var other signedJSON
	i.json(&other, "sign", "GitHub", "-f", "event.json", "--secret", "another", "-H", "X-GitHub-Event: push")
	if other.Headers["X-Hub-Signature-256"] == got.Headers["X-Hub-Signature-256"] || other.Headers["X-Github-Event"] != "push" {
		t.Errorf("with another secret: %+v", other)
	}
	if r := i.answering(false, `{"a": "it's"}`, "sign", "GitHub"); r.code != 0 || !strings.Contains(r.stdout, "X-Hub-Signature-256: sha256=") || !strings.Contains(r.stdout, `--data-binary '{"a": "it'\''s"}'`) {
		t.Errorf("the table: %+v", r)
	}
	i.mustRun("webhooks", "apply", "-f", i.write("discord.yaml", "name: Discord\nauth: {signature: discord}\n"), "-f", i.write("keyed.yaml", "name: Keyed\n"))
	if r := i.run("sign", "Discord", "-f", "event.json"); r.code != 1 || !strings.Contains(r.stderr, "public key") {
		t.Errorf("a public key: %+v", r)
	}
	if r := i.run("sign", "Keyed", "-f", "event.json"); r.code != 1 || !strings.Contains(r.stderr, "has no signature") {
		t.Errorf("no signature: %+v", r)
	}
}

// TestSignPrintsACurlLineThatWorks: a shell passes each part on as it is.
func TestSignPrintsACurlLineThatWorks(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.mustRun("webhooks", "apply", "-f", i.write("all.yaml", "name: All\nauth: {signature: github, api_key: true, basic: {username: \"a b\"}}\n"))
	i.write("event.json", "{}\n")
	var got signedJSON
	i.json(&got, "sign", "All", "-f", "event.json", "--secret", "s")
	shell := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(got.Curl, "curl", `printf '<%s>'`, 1))
	shell.Env = append(os.Environ(), "API_KEY=chk_x", "PASSWORD=p q")
	out, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<-i><-X><POST>", "<" + got.URL + ">", "<X-Hub-Signature-256: " + got.Headers["X-Hub-Signature-256"] + ">", "<x-api-key: chk_x>", "<a b:p q>", "<--data-binary><@event.json>"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the shell sees %s, want %s", out, want)
		}
	}
}

// TestSignAQuery: senders of rewards call a URL.
func TestSignAQuery(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.mustRun("webhooks", "apply", "-f", i.write("ads.yaml", "name: Ads\nauth: {signature: levelplay}\n"))
	i.write("ads.query", i.run("webhooks", "presets", "levelplay", "--sample").stdout)
	var got signedJSON
	i.json(&got, "sign", "Ads", "-f", "ads.query", "--secret", "s")
	if got.Method != "GET" || got.Body != "" || !strings.Contains(got.URL, "signature=") || strings.Contains(got.URL, "\n") || strings.Contains(got.Curl, "--data") {
		t.Errorf("signed as %+v", got)
	}
}

// mustRun runs a command that is to be done.
func (i *installation) mustRun(args ...string) {
	i.t.Helper()
	if r := i.run(args...); r.code != 0 {
		i.t.Fatalf("%q: %+v", args, r)
	}
}
