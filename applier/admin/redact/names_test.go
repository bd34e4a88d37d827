package redact_test

import (
	"fmt"
	"testing"

	"github.com/coinhook/coinhook/applier/admin/redact"
)

func TestNamesThatSaySecret(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"pass", "passwd", "pwd", "user_pwd", "auth", "X-Auth", "session", "session_id", "sessionId", "JSESSIONID", "PHPSESSID", "signature",
		"X-Hub-Signature", "sig", "x_sig", "hmac", "iban", "user.iban", "pin", "card_pin", "otp", "totp", "cvv", "cvv2", "csc", "card", "credit_card",
		"cardNumber", "card_no", "ccnum", "pan", "ssn", "security_code", "account_number", "dbPass", "passphrase", "refresh_token", "hmac_key",
	} {
		if out, changed := redact.Payload(fmt.Appendf(nil, `{%q:"x7"}`, name)); !changed {
			t.Errorf("shown: %s", out)
		}
		if out, changed := redact.Text(name + "=x7"); !changed {
			t.Errorf("shown in a form: %s", out)
		}
		if out, changed := redact.Header(name, "x7"); !changed {
			t.Errorf("shown as a header: %s", out)
		}
	}
	for _, name := range []string{
		"passenger", "passengers", "passed", "passport_country", "battle_pass", "season_pass", "bypass", "compass", "author", "authors", "authority",
		"oauth_provider", "auth_method", "session_count", "sessions", "signature_version", "signed", "sign", "design", "signal", "pinned", "spin",
		"shipping", "opinion", "option", "optional", "cvc_check", "card_brand", "cardinal", "cards", "discard", "scorecard", "postcard_sent",
		"span", "panel", "japan", "keyboard", "monkey", "tokens", "token_type", "urbani", "libano", "zig", "config", "amount", "email",
		"order_number", "class_name", "essn_id", "incremental_authorization",
	} {
		if out, changed := redact.Payload(fmt.Appendf(nil, `{%q:"x7"}`, name)); changed {
			t.Errorf("hidden: %s", out)
		}
	}
}

// An object shows what is no secret, so that a mapping can be drawn.
func TestAnObjectOfCardDataKeepsWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	const in = `{"card":{"brand":"visa","number":1,"cvc":"123","card_number":"42"},"session":{"id":"a"},"auth":[{"token":"t"}],"iban":{"a":1}}`
	const want = `{"card":{"brand":"visa","number":1,"cvc":"[redacted]","card_number":"[redacted]"},"session":{"id":"a"},"auth":[{"token":"[redacted]"}],"iban":"[redacted]"}`
	if out, _ := redact.Payload([]byte(in)); string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
}
