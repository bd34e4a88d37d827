package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// presets runs `webhooks presets` without a broker and a database.
func presets(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Run(context.Background(), cli.Process{
		Args: append([]string{"webhooks", "presets"}, args...), Env: map[string]string{}, Dir: t.TempDir(),
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
	})
	return result{code, stdout.String(), stderr.String()}
}

func TestPresetsAreListed(t *testing.T) {
	t.Parallel()
	const want = `NAME               SENDER                         SIGNS WITH         ITS SECRET                                     HANDSHAKE
discord            Discord                        ed25519            public key                                     discord
github             GitHub                         hmac-sha256        secret
levelplay          Unity LevelPlay (ironSource)   md5                private key
linear             Linear                         hmac-sha256        signing secret
paddle             Paddle Billing                 hmac-sha256        endpoint secret key
sendgrid           Twilio SendGrid Event Webhook  ecdsa-p256-sha256  verification key
shopify            Shopify                        hmac-sha256        client secret, or the key under Notifications
slack              Slack                          hmac-sha256        signing secret                                 slack
standard-webhooks  Standard Webhooks and Svix     hmac-sha256        signing secret, or public key
stripe             Stripe                         hmac-sha256        signing secret
tebex              Tebex                          hmac-sha256        webhook secret key                             tebex
twilio             Twilio                         hmac-sha1          auth token
twitch             Twitch EventSub                hmac-sha256        transport secret                               twitch
woocommerce        WooCommerce                    hmac-sha256        secret
xsolla             Xsolla                         sha1               project secret key
`
	r := presets(t)
	if diff := cmp.Diff(want, r.stdout); r.code != 0 || diff != "" {
		t.Errorf("exit %d, %s (-want +got):\n%s", r.code, r.stderr, diff)
	}
	var list []struct{ Name, Title, Docs string }
	if r := presets(t, "-o", "json"); json.Unmarshal([]byte(r.stdout), &list) != nil || len(list) != 15 || list[9].Name != "stripe" || list[9].Docs == "" {
		t.Errorf("as JSON: %+v", r)
	}
}

func TestAPresetSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, name := range signature.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := signature.Find(name)
			r := presets(t, name)
			if r.code != 0 || r.stderr != "" {
				t.Fatalf("%+v", r)
			}
			want, err := webhook.Parse([]byte(p.Definition))
			if err != nil {
				t.Fatal(err)
			}
			got, err := webhook.Parse([]byte(r.stdout))
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v, the definition (-want +got):\n%s", err, diff)
			}
			for _, part := range append([]string{p.Docs, p.Secret.Example, "coinhook webhooks set-secret '" + want.Name + "' --secret-stdin"}, p.Setup...) {
				if !strings.Contains(r.stdout, part) {
					t.Errorf("it does not say %q", part)
				}
			}
			if signs := strings.Contains(r.stdout, "coinhook sign"); signs == p.Secret.Public {
				t.Errorf("it says how to sign: %v", signs)
			}
			var object struct {
				Name       string
				Definition webhook.Definition
				Setup      []string
				Sample     struct{ Body, Query string }
			}
			if r := presets(t, name, "-o", "json"); json.Unmarshal([]byte(r.stdout), &object) != nil || object.Definition.Name != want.Name || len(object.Setup) == 0 {
				t.Errorf("as JSON: %+v", r)
			}
			if r := presets(t, name, "--sample"); strings.TrimSuffix(r.stdout, "\n") != object.Sample.Body+object.Sample.Query {
				t.Errorf("the sample: %+v", r)
			}
		})
	}
}

func TestPresetsRefuse(t *testing.T) {
	t.Parallel()
	if r := presets(t, "strpe"); r.code != 1 || !strings.Contains(r.stderr, `the preset "strpe" is not known; there are discord, github,`) {
		t.Errorf("an unknown one: %+v", r)
	}
	if r := presets(t, "--sample"); r.code != 2 || !strings.Contains(r.stderr, "name the preset") {
		t.Errorf("a sample of none: %+v", r)
	}
}

// Each preset works from nothing: its file is applied as it was printed, and its sample
// would change a balance.
func TestPresetsMapTheirSamples(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	for _, user := range [][]string{
		{"--email", "ada@example.com", "--username", "ada"},
		{"--username", "U0000000001"},
		{"--username", "771129655544643584"},
		{"--username", "+14155550100"},
	} {
		if r := i.run(append([]string{"users", "add"}, user...)...); r.code != 0 {
			t.Fatalf("users add %s: %+v", user, r)
		}
	}
	want := map[string]string{
		"discord": "500 coins", "github": "50 xp", "levelplay": "10 coins", "linear": "20 xp", "paddle": "15 coins", "sendgrid": "1 xp",
		"shopify": "49 coins", "slack": "1 xp", "standard-webhooks": "150 coins", "stripe": "19 coins", "tebex": "216 coins",
		"twilio": "10 coins", "twitch": "100 coins", "woocommerce": "29 coins", "xsolla": "100 coins",
	}
	for _, name := range signature.Names() {
		p, _ := signature.Find(name)
		file := i.write(name+".yaml", presets(t, name).stdout)
		if r := i.run("webhooks", "apply", "-f", file, "--yes"); r.code != 0 {
			t.Errorf("apply %s: %+v", name, r)
			continue
		}
		def, err := webhook.Parse([]byte(p.Definition))
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"webhooks", "try", def.Name, "-f", i.write(name+".sample", presets(t, name, "--sample").stdout)}
		for header, value := range p.Sample.Header {
			args = append(args, "-H", header+": "+value)
		}
		var got struct {
			Status, Outcome, Detail string
			Changes                 []struct{ Currency, Amount string }
		}
		i.json(&got, args...)
		if got.Outcome != "applied" || len(got.Changes) != 1 || got.Changes[0].Amount+" "+got.Changes[0].Currency != want[name] {
			t.Errorf("%s: %+v, want %s", name, got, want[name])
		}
	}
}
