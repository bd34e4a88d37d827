package signature_test

import (
	_ "embed"
	"time"

	"github.com/coinhook/coinhook/pkg/signature"
)

var (
	//go:embed testdata/stripe.json
	stripeBody []byte
	//go:embed testdata/tebex.json
	tebexBody []byte
)

// vector is a request that a sender signed, with the secret.
type vector struct {
	preset, name string
	// source is where request, secret and signature are published together. The
	// vectors without one are derived: openssl's command line is next to them.
	source  string
	request signature.Request
	secret  string
	at      time.Time
	id      string // that Verify returns
}

func post(body string, header map[string][]string) signature.Request {
	return signature.Request{Method: "POST", URL: "https://hooks.example.com/hooks/wh_test", Header: header, Body: []byte(body)}
}

// with returns headers of pairs of a name and a value.
func with(pairs ...string) map[string][]string {
	h := map[string][]string{}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
	}
	return h
}

const (
	form        = "application/x-www-form-urlencoded"
	standardID  = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	standardV1  = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	standardV1a = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	sharedKey   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	publicKey   = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
)

var standardAt = time.Unix(1614265330, 0)

// standard is the one message that the libraries of Standard Webhooks and Svix test with.
func standard(names, signatures string) signature.Request {
	return post(`{"test": 2432232314}`, with(names+"-Id", standardID, names+"-Timestamp", "1614265330", names+"-Signature", signatures))
}

// vectors has at least one of each preset.
func vectors() []vector {
	all := append(publishedStandards(), publishedShops()...)
	return append(append(all, publishedMessengers()...), derived()...)
}

func publishedStandards() []vector {
	const (
		library = "standard-webhooks/standard-webhooks, libraries/python/tests/test_webhooks.py, test_sign_function"
		server  = "svix/svix-webhooks, server/svix-server/src/worker.rs, test_asymmetric_key_signing; the key pair is in its README.md"
	)
	return []vector{
		{
			preset: "standard-webhooks", name: "v1", source: library, at: standardAt, id: standardID,
			secret: sharedKey, request: standard("Webhook", standardV1),
		},
		{
			preset: "standard-webhooks", name: "v1 of Svix", source: library, at: standardAt, id: standardID,
			secret: sharedKey, request: standard("Svix", standardV1),
		},
		{
			preset: "standard-webhooks", name: "v1a", source: server, at: standardAt, id: standardID,
			secret: publicKey, request: standard("Webhook", standardV1a),
		},
		{
			preset: "standard-webhooks", name: "v1a of Svix", source: server, at: standardAt, id: standardID,
			secret: publicKey, request: standard("Svix", standardV1a),
		},
		{
			preset: "standard-webhooks", name: "v1 in a list", source: library, at: standardAt, id: standardID,
			secret: sharedKey, request: standard("Webhook", "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= "+standardV1a+" "+standardV1),
		},
		{
			preset: "github", name: "the documentation's own",
			source: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries, Testing the webhook payload validation",
			secret: "It's a Secret to Everybody",
			request: post("Hello, World!", with("X-Hub-Signature-256",
				"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
				"X-Github-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")),
			id: "72d3162e-cc78-11e3-81ab-4c9367dc0958",
		},
		{
			preset: "github", name: "octokit", source: "octokit/webhooks-methods.js, test/sign.test.ts",
			secret: "mysecret",
			request: post(`{"foo":"bar"}`, with("X-Hub-Signature-256",
				"sha256=4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3")),
		},
	}
}

func publishedShops() []vector {
	return []vector{
		{
			preset: "stripe", source: "stripe/stripe-dotnet, src/StripeTests/Services/Events/EventUtilityTest.cs",
			secret: "webhook_secret", at: time.Unix(1533204620, 0),
			request: post(string(stripeBody), with("Stripe-Signature",
				"t=1533204620,v1=2220f87ef101a04665f11cdf770523143f875572008577fa0f20882ddb9cc3c7,v0=63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef")),
		},
		{
			preset: "paddle", source: "PaddleHQ/paddle-node-sdk, src/__tests__/notifications/webhooks-validator.node.test.ts",
			secret: "VALID_SECRET", at: time.Unix(1698796800, 0),
			request: post(`{"data": ["1", "2"]}`, with("Paddle-Signature",
				"ts=1698796800;h1=a300428748dce5c70e4da19bffd60769591ea969c99dea3105d0ec9612cf43f9")),
		},
		{
			preset: "paddle", name: "several hashes", source: "the same file",
			secret: "VALID_SECRET", at: time.Unix(1698796800, 0),
			request: post(`{"data": "value"}`, with("Paddle-Signature",
				"ts=1698796800;h1=28981e941fae76e53db32f3d2a83cb69db41476595e84e1970a1b5d98f62b261;h1=28981e941fae76e53db32f3d2a83cb69db41476595e84e1970a1b5d98f62b261;h2=RANDOM_HASH")),
		},
		{
			preset: "shopify", source: "Shopify/shopify-api-php, tests/Webhooks/RegistryTest.php; the secret is in tests/BaseTestCase.php",
			secret:  "7008c5f4da4718b9b45d26d3fcbbb157",
			request: post(`{"foo":"bar"}`, with("X-Shopify-Hmac-Sha256", "+R9TwYM4mbLTk3hEAOBkpA7zW2lc9vNFmVKs2u2jtyY=")),
		},
		{
			preset: "shopify", name: "headers without X", source: "the same; Shopify/shopify-api-ruby reads both names of the header",
			secret: "7008c5f4da4718b9b45d26d3fcbbb157", id: "b1234-eefd-4c9e-9520-049845a02082",
			request: post(`{"foo":"bar"}`, with("Shopify-Hmac-Sha256", "+R9TwYM4mbLTk3hEAOBkpA7zW2lc9vNFmVKs2u2jtyY=",
				"Shopify-Webhook-Id", "b1234-eefd-4c9e-9520-049845a02082")),
		},
		{
			// The secret there is empty. HMAC pads keys with zeros, so one zero is the same key.
			preset: "woocommerce", source: "woocommerce/woocommerce, plugins/woocommerce/tests/legacy/unit-tests/webhooks/crud.php, test_generate_signature",
			secret:  "\x00",
			request: post("secret", with("X-Wc-Webhook-Signature", "GBDo00G55h6IiV+6CxqivQPLbI//KzaOZm747971tPs=")),
		},
		{
			preset: "tebex", source: "tebexio/tebex-sdk-php, test/WebhooksTest.php, testInvalidWebhookIP: right signature, wrong address",
			secret:  "abc123",
			request: post(string(tebexBody), with("X-Signature", "c808d8ddb5e64eeccb96716a0c5023053eb14a3393b06b91387416db2784f06e")),
		},
	}
}

func publishedMessengers() []vector {
	const (
		twilioTests = "twilio/twilio-python, tests/unit/test_request_validator.py"
		called      = "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
		twilioURL   = "https://mycompany.com/myapp.php?foo=1&bar=2"
	)
	twilio := func(name, url, kind, body, signed string) vector {
		r := post(body, with("Content-Type", kind, "X-Twilio-Signature", signed))
		r.URL = url
		return vector{preset: "twilio", name: name, source: twilioTests, secret: "12345", request: r}
	}
	return []vector{
		{
			preset: "slack", source: "https://docs.slack.dev/authentication/verifying-requests-from-slack/; slackapi/python-slack-sdk, tests/slack_sdk/signature",
			secret: "8f742231b10e8888abcd99yyyzzz85a5", at: time.Unix(1531420618, 0),
			request: post("token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
				with("X-Slack-Request-Timestamp", "1531420618", "X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503")),
		},
		twilio("form", twilioURL, form, called, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
		twilio("names that are there twice", twilioURL, form, "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
		twilio("called with a port, signed without", "https://mycompany.com:1234/myapp.php?foo=1&bar=2", form, called, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
		twilio("called without a port, signed with it", twilioURL, form, called, "kvajT1Ptam85bY51eRf/AJRuM3w="),
		twilio("the same over http", "http://mycompany.com/myapp.php?foo=1&bar=2", form, called, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
		twilio("a port over http", "http://mycompany.com:1234/myapp.php?foo=1&bar=2", form, called, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
		twilio("JSON", twilioURL+"&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620", "application/json",
			`{"property": "value", "boolean": true}`, "a9nBmqA0ju/hNViExpshrM61xv4="),
		{
			preset: "sendgrid", source: "sendgrid/sendgrid-go, helpers/eventwebhook/eventwebhook_test.go",
			secret: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
			at:     time.Unix(1600112502, 0),
			request: post(`[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]`+"\r\n",
				with("X-Twilio-Email-Event-Webhook-Timestamp", "1600112502",
					"X-Twilio-Email-Event-Webhook-Signature", "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=")),
		},
	}
}

// derived are those of senders that publish how they sign, but no signature with its
// secret. OpenSSL computed the expected values, not this package.
func derived() []vector {
	levelPlay := signature.Request{
		Method: "GET", Header: map[string][]string{},
		URL: "https://hooks.example.com/hooks/wh_test?appUserId=123%40abc.com&rewards=10&eventId=5d4f3e2a1b&timestamp=201001021455&signature=d450b4e8553936036bc45df45451e6f2",
	}
	return []vector{
		{
			// https://dev.twitch.tv/docs/eventsub/handling-webhook-events/
			// printf '%s' "$id$timestamp$body" | openssl sha256 -hmac s3cre77890ab
			preset: "twitch", secret: "s3cre77890ab", at: time.Date(2019, 11, 16, 10, 11, 12, 634234626, time.UTC),
			id: "f1c2a387-161a-49f9-a165-0f21d7a4e1c4",
			request: post(`{"subscription":{"type":"channel.follow"},"event":{"user_login":"cool_user"}}`,
				with("Twitch-Eventsub-Message-Id", "f1c2a387-161a-49f9-a165-0f21d7a4e1c4",
					"Twitch-Eventsub-Message-Timestamp", "2019-11-16T10:11:12.634234626Z",
					"Twitch-Eventsub-Message-Signature", "sha256=dda555de207cf6197fffad95df565e01d25feb295bcc9401bdff4cfb02b2e46d")),
		},
		{
			// https://docs.discord.com/developers/interactions/overview; the key pair is the first one of RFC 8032, 7.1.
			// openssl pkeyutl -sign -rawin -inkey key.pem -in message, with timestamp and body as the message
			preset: "discord", secret: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", at: time.Unix(1795342500, 0),
			request: post(`{"version":1,"application_id":"1234560123453231555","type":0}`,
				with("X-Signature-Timestamp", "1795342500",
					"X-Signature-Ed25519", "9b8d59d7545b0be31f1be32a6c0ef78488682386246a999b8e4caeccc30cae9f76011ca7f5495c6e6f454abceec6e6f39386e78eaef5deedab7c55df9941bf0a")),
		},
		{
			// https://linear.app/developers/webhooks; linear/linear, packages/sdk/src/webhooks/client.ts
			// printf '%s' "$body" | openssl sha256 -hmac lin_wh_example
			preset: "linear", secret: "lin_wh_example", id: "234d1a4e-b617-4388-90fe-adc3633d6b72",
			request: post(`{"action":"create","type":"Comment","webhookTimestamp":1676056940508}`,
				with("Linear-Signature", "da884b8054e67bd4df3cca12301145c444bb5248f785348e640fb20c19e148eb",
					"Linear-Delivery", "234d1a4e-b617-4388-90fe-adc3633d6b72")),
		},
		{
			// https://developers.xsolla.com/webhooks/overview/; xsolla/xsolla-sdk-php, src/Webhook/WebhookAuthenticator.php
			// printf '%s' "$body"PROJECT_SECRET_KEY | openssl sha1
			preset: "xsolla", secret: "PROJECT_SECRET_KEY",
			request: post(`{"notification_type":"user_validation","user":{"id":"1234567"}}`,
				with("Authorization", "Signature fb860d5e7f163cb353973b7495746a8507f6c873")),
		},
		{
			// https://docs.unity.com/en-us/grow/levelplay/platform/settings/event-handlers
			// printf '%s' 201001021455 5d4f3e2a1b 123@abc.com 10 private-key, without spaces | openssl md5
			preset: "levelplay", secret: "private-key", request: levelPlay,
		},
	}
}
