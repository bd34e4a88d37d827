package signature

// messengers are the senders through which people talk, and their mail.
func messengers() []Preset {
	return []Preset{slack(), discord(), twilio(), sendGrid()}
}

func slack() Preset {
	return Preset{
		Name: "slack", Title: "Slack", About: "reactions and messages",
		Spec:    bodyHMAC("X-Slack-Signature", "v0=", Hex).timed(Place{Header: "X-Slack-Request-Timestamp"}, fiveMinutes, "v0:{timestamp}:{body}"),
		Receive: Receive{Challenge: "slack", Answer: &Answer{Status: 200}},
		Key:     Key{Paths: []string{"event_id"}},
		Secret:  SecretHint{Name: "signing secret", Example: "32 hex digits"},
		Setup: []string{
			"At api.slack.com/apps open your app, Basic Information, copy the signing secret, and set it here first: Slack signs its challenge, too.",
			"Open Event Subscriptions, turn them on, and paste this webhook's URL as the request URL. This webhook answers the challenge.",
			"Subscribe to events, such as reaction_added, save, and install the app again.",
		},
		Docs: "https://docs.slack.dev/authentication/verifying-requests-from-slack/",
	}
}

func discord() Preset {
	return Preset{
		Name: "discord", Title: "Discord", About: "purchases and joins",
		Spec: Spec{
			Algorithm: Ed25519, From: Place{Header: "X-Signature-Ed25519"}, Encoding: Hex,
			Signed: "{timestamp}{body}", Timestamp: Place{Header: "X-Signature-Timestamp"}, Tolerance: fiveMinutes,
		},
		Receive: Receive{Challenge: "discord", Answer: &Answer{Status: 204}},
		Key:     Key{Body: true},
		Secret:  SecretHint{Name: "public key", Example: "64 hex digits", Public: true},
		Setup: []string{
			"In Discord's Developer Portal open your application, General Information, copy the public key, and set it here first.",
			"Open Webhooks, paste this webhook's URL as the endpoint. Discord sends a PING and a wrong signature: this webhook answers both as Discord expects.",
			"Turn Events on, choose the types, such as Entitlement Create, and save.",
		},
		Docs: "https://docs.discord.com/developers/events/webhook-events",
	}
}

func twilio() Preset {
	spec := Spec{
		Algorithm: HMACSHA1, From: Place{Header: "X-Twilio-Signature"}, Encoding: Base64, Signed: "{url}{form}",
		ID: Place{Header: "I-Twilio-Idempotency-Token"}, BodyDigest: "bodySHA256", Port: PortNever,
	}
	withPort := spec
	withPort.Port = PortAlways
	spec.Variants = []Spec{withPort}
	return Preset{
		Name: "twilio", Title: "Twilio", About: "text messages",
		Spec:    spec,
		Receive: Receive{Payload: "form", Answer: &Answer{Status: 200, ContentType: "text/xml", Body: "<Response/>"}},
		Secret:  SecretHint{Name: "auth token", Example: "32 hex digits"},
		Setup: []string{
			"In the Twilio Console open Phone Numbers, Manage, Active numbers, and your number.",
			"Under Messaging choose Webhook and HTTP POST for a message that comes in, paste this webhook's URL, and save.",
			"Copy the account's auth token from the Console's first page, and set it here. Twilio signs with the primary one.",
		},
		Docs:   "https://www.twilio.com/docs/usage/security#validating-requests",
		Sample: Sample{Header: map[string]string{"I-Twilio-Idempotency-Token": "5d1c8a4e-1111-4a5b-9f5e-2f0c8d7b6a10"}},
	}
}

func sendGrid() Preset {
	const names = "X-Twilio-Email-Event-Webhook-"
	return Preset{
		Name: "sendgrid", Title: "Twilio SendGrid Event Webhook", About: "mails that were read",
		Spec: Spec{
			Algorithm: ECDSAP256, From: Place{Header: names + "Signature"}, Encoding: Base64,
			Signed: "{timestamp}{body}", Timestamp: Place{Header: names + "Timestamp"}, Tolerance: fiveMinutes,
		},
		Key:    Key{Body: true},
		Secret: SecretHint{Name: "verification key", Example: "MFkwEwYHKoZIzj0C…", Public: true},
		Setup: []string{
			"In SendGrid open Settings, Mail Settings, Event Webhooks, and create a webhook with this webhook's URL as the post URL.",
			"Choose the events, such as Clicked, turn Signed Event Webhook on, and save.",
			"Edit it again, copy the verification key, and set it here.",
		},
		Docs: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
	}
}
