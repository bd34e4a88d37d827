package cli_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type encryptedJSON struct {
	webhookJSON
	Encryption string `json:"encryption"`
	AESKey     string `json:"aes_key"`
}

const (
	givenKey   = "0123456789abcdef0123456789ABCDEF"
	encPayload = `{"customer":{"email":"a@example.com"},"coins":40}`
)

// publishEncrypted stores a delivery that came with x-encrypted: true.
func (i *installation) publishEncrypted(webhookID, body string, receivedAt time.Time) delivery.ID {
	i.t.Helper()
	d := delivery.Delivery{
		ID: delivery.NewID(), WebhookID: webhookID, ReceivedAt: receivedAt, Body: []byte(body),
		Headers: []delivery.Header{{Name: "X-Encrypted", Value: "true"}},
	}
	p := broker.NewPublisher(i.conn, broker.PublisherOptions{Log: zerolog.Nop()})
	done, published := make(chan error, 1), make(chan error, 1)
	ctx := i.t.Context()
	go func() { published <- p.Publish(ctx, d) }()
	running, stop := context.WithCancel(ctx)
	go func() { done <- p.Run(running) }()
	err := <-published
	stop()
	if runErr := <-done; err != nil || runErr != nil {
		i.t.Fatal(err, runErr)
	}
	return d.ID
}

func TestSetEncryption(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop, set encryptedJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"encryption: gcm\n"))
	if len(shop.AESKey) != 32 || shop.Encryption != "gcm" || shop.APIKey == "" {
		t.Fatalf("applied: %+v", shop)
	}
	i.json(&set, "webhooks", "set-encryption", "Shop", "cbc", "--aes-key", givenKey)
	if set.AESKey != "" || set.Encryption != "cbc" || set.Version != 2 {
		t.Errorf("a given key: %+v", set)
	}
	i.json(&set, "webhooks", "set-encryption", shop.ID, "gcm", "--overlap", "0")
	if len(set.AESKey) != 32 || set.AESKey == shop.AESKey || set.Encryption != "gcm" {
		t.Errorf("a made key: %+v", set)
	}
	show := i.run("webhooks", "show", "Shop")
	for _, want := range []string{"encryption: gcm", "aes keys", "gcm, one of"} {
		if !strings.Contains(show.stdout, want) {
			t.Errorf("shown without %q: %s", want, show.stdout)
		}
	}
	for _, key := range []string{set.AESKey, shop.AESKey, givenKey, "v1."} {
		if strings.Contains(show.stdout+i.run("webhooks", "show", "Shop", "-o", "json").stdout, key) {
			t.Errorf("show prints %s", key)
		}
	}
	if r := i.run("webhooks", "set-encryption", "Shop", "gcm"); r.code != 0 || !strings.Contains(r.stdout, "aes key") ||
		!strings.Contains(r.stdout, "AES-256-GCM, an older key works until") {
		t.Errorf("for people: %+v", r)
	}
	set = encryptedJSON{}
	i.json(&set, "webhooks", "set-encryption", "Shop", "none")
	if set.AESKey != "" || set.Encryption != "none" {
		t.Errorf("off: %+v", set)
	}
	if r := i.run("encrypt", "Shop"); r.code != 1 || !strings.Contains(r.stderr, "set-encryption") {
		t.Errorf("encrypt without encryption: %+v", r)
	}
	for args, want := range map[string]string{
		"webhooks set-encryption Shop gcm --aes-key short":             "32 printable ASCII",
		"webhooks set-encryption Shop gcm --aes-key " + givenKey + "x": "32 printable ASCII",
		"webhooks set-encryption Shop none --aes-key " + givenKey:      "--aes-key",
		"webhooks set-encryption Shop ecb":                             "gcm",
		"webhooks set-encryption Shop gcm --overlap never":             "--overlap",
		"encrypt Shop --form xml":                                      "--form",
	} {
		if r := i.run(strings.Fields(args)...); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v, want exit 2 and %q", args, r, want)
		}
	}
}

func TestTheMasterKeyIsAskedFor(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.json(&webhookJSON{}, "webhooks", "apply", "-f", i.write("plain.yaml", shopYAML))
	i.write("gcm.yaml", shopYAML+"encryption: gcm\n")
	for value, want := range map[string]string{"": "openssl rand -base64 32", "short": "32 random bytes"} {
		i.env["COINHOOK_MASTER_KEY"] = value
		for _, args := range [][]string{
			{"webhooks", "apply", "-f", "gcm.yaml", "--yes"},
			{"webhooks", "set-encryption", "Shop", "gcm"},
		} {
			r := i.run(args...)
			if r.code != 2 || !strings.Contains(r.stderr, "COINHOOK_MASTER_KEY") || !strings.Contains(r.stderr, want) || r.stdout != "" {
				t.Errorf("%v with the key %q: %+v", args, value, r)
			}
		}
	}
}

func TestEncryptedDeliveries(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("payload.json", encPayload)
	var shop encryptedJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"encryption: cbc\n"))
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	encrypt := func(args ...string) string {
		var made struct{ Body, Curl, How string }
		i.json(&made, append([]string{"encrypt", "Shop", "-f", "payload.json"}, args...)...)
		if !strings.Contains(made.Curl, shop.URL) || !strings.Contains(made.Curl, made.Body) || !strings.Contains(made.Curl, "x-encrypted: true") {
			t.Errorf("the curl line is %s", made.Curl)
		}
		return made.Body
	}
	now := time.Now().Add(-time.Second)
	good := i.publishEncrypted(shop.ID, encrypt(), now)
	i.json(&shop, "webhooks", "set-encryption", "Shop", "gcm", "--overlap", "0")
	late := i.publishEncrypted(shop.ID, encrypt("--form", "json", "--encoding", "hex"), time.Now())
	broken := i.publishEncrypted(shop.ID, "00"+encrypt("--encoding", "hex")[2:]+"00", time.Now())
	clear := i.publishEncrypted(shop.ID, encPayload, time.Now())
	i.settleAll()
	type shown struct {
		deliveryJSON
		DecryptedPayload *string `json:"decrypted_payload"`
	}
	for id, want := range map[delivery.ID]string{good: "success", late: "success", broken: "decryption_failed", clear: "decryption_failed"} {
		var d shown
		i.json(&d, "deliveries", "show", id.String())
		switch {
		case want == "success" && (d.Status != want || d.DecryptedPayload == nil || *d.DecryptedPayload != encPayload || *d.Payload == encPayload):
			t.Errorf("a good one: %+v", d)
		case want != "success" && (d.Reason == nil || *d.Reason != want || d.DecryptedPayload != nil || d.Payload == nil):
			t.Errorf("a bad one: %+v", d)
		}
	}
	if r := i.run("deliveries", "show", good.String()); !strings.Contains(r.stdout, "decrypted payload\n"+encPayload) {
		t.Errorf("for people: %s", r.stdout)
	}
	i.env["COINHOOK_MASTER_KEY"] = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("o", 32)))
	if r := i.run("deliveries", "show", good.String()); r.code != 0 || strings.Contains(r.stdout, "decrypted") || !strings.Contains(r.stderr, "another COINHOOK_MASTER_KEY") {
		t.Errorf("with another master key: %+v", r)
	}
	i.env["COINHOOK_MASTER_KEY"] = ""
	if r := i.run("deliveries", "show", good.String()); r.code != 0 || strings.Contains(r.stdout, "decrypted") || r.stderr != "" {
		t.Errorf("without a master key: %+v", r)
	}
}

// The lines that encrypt prints make the very body, in every form.
func TestEncryptSaysHowOthersMakeTheSame(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.json(&webhookJSON{}, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	file := i.write("it's a payload.json", encPayload)
	for mode, tool := range map[string]string{"cbc": "openssl", "gcm": "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("SKIPPED: %s is not installed, so that its lines were not run", tool)
			continue
		}
		i.json(&webhookJSON{}, "webhooks", "set-encryption", "Shop", mode, "--aes-key", givenKey)
		for _, form := range []string{"text", "json"} {
			for _, encoding := range []string{"base64", "hex", "base64url"} {
				r := i.run("encrypt", "Shop", "-f", file, "--form", form, "--encoding", encoding, "-o", "json")
				var made struct{ Body, How string }
				if err := json.Unmarshal([]byte(r.stdout), &made); err != nil {
					t.Fatalf("%+v: %v", r, err)
				}
				sh := exec.CommandContext(t.Context(), "sh", "-c", made.How)
				sh.Dir, sh.Env = i.dir, append(sh.Environ(), "AES_KEY="+givenKey)
				out, err := sh.CombinedOutput()
				if err != nil || string(out) != made.Body {
					t.Errorf("%s %s %s: %s\ngives %s, %v, want %s", mode, form, encoding, made.How, out, err, made.Body)
				}
				if strings.Contains(r.stdout, givenKey) {
					t.Error("the key is printed")
				}
			}
		}
	}
	i.json(&webhookJSON{}, "webhooks", "apply", "-f", i.write("form.yaml", "receive: {payload: form}\nencryption: gcm\n"+strings.Replace(shopYAML, "Shop", "Form", 1)))
	for content, note := range map[string]string{"coins=5": "", "coins=5\n": "a line break, which is a part of its last value"} {
		r := i.run("encrypt", "Form", "-f", i.write("form", content))
		if r.code != 0 || strings.Contains(r.stderr, "Note") != (note != "") || !strings.Contains(r.stderr, note) {
			t.Errorf("a form %q: %+v", content, r)
		}
	}
	r := i.run("encrypt", "Shop") // the standard input is empty
	if r.code != 0 || strings.Count(r.stdout, "\n") != 1 || !strings.Contains(r.stderr, "not JSON") || !strings.Contains(r.stderr, "curl -i -X POST") {
		t.Errorf("for people: %+v", r)
	}
}
