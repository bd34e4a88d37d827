package signature

import "time"

// platforms are the senders that developers and streamers work with, and the
// standard that many others follow.
func platforms() []Preset {
	return []Preset{standardWebhooks(), github(), linear(), twitch()}
}

func standardWebhooks() Preset {
	shared := func(names string) Spec {
		s := bodyHMAC(names+"-Signature", "v1,", Base64).timed(Place{Header: names + "-Timestamp"}, fiveMinutes, "{id}.{timestamp}.{body}").withID(names + "-Id")
		s.Separator = " "
		s.SecretPrefix, s.SecretIsBase64 = "whsec_", true
		return s
	}
	public := func(names string) Spec {
		s := shared(names)
		s.Algorithm, s.Prefix, s.SecretPrefix = Ed25519, "v1a,", "whpk_"
		return s
	}
	spec := shared("Webhook")
	spec.Variants = []Spec{shared("Svix"), public("Webhook"), public("Svix")}
	return Preset{
		Name: "standard-webhooks", Title: "Standard Webhooks and Svix", About: "Resend, Clerk, OpenAI and others",
		Spec:   spec,
		Secret: SecretHint{Name: "signing secret, or public key", Example: "whsec_…, or whpk_…"},
		Setup: []string{
			"At the sender, add an endpoint with this webhook's URL. Svix' portal calls the button Add Endpoint.",
			"Copy the endpoint's signing secret, which begins with whsec_ (or the public key, which begins with whpk_), and set it here as it is.",
			"Resend, Clerk, OpenAI and others that follow the standard work the same way.",
		},
		Docs: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
	}
}

func github() Preset {
	return Preset{
		Name: "github", Title: "GitHub", About: "pull requests, stars, issues",
		Spec:   bodyHMAC("X-Hub-Signature-256", "sha256=", Hex).withID("X-Github-Delivery"),
		Secret: SecretHint{Name: "secret", Example: "a text that you choose", Chosen: true},
		Setup: []string{
			"In the repository or organization open Settings, then Webhooks, and choose Add webhook.",
			"Paste this webhook's URL as the payload URL, and choose the content type application/json: the form is GitHub's default.",
			"Type a long random secret, and set the same one here.",
			"Choose the events, such as Pull requests, and add the webhook. The conditions skip GitHub's ping.",
		},
		Docs:   "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
		Sample: Sample{Header: map[string]string{"X-Github-Event": "pull_request"}},
	}
}

func linear() Preset {
	return Preset{
		Name: "linear", Title: "Linear", About: "issues",
		Spec:   bodyHMAC("Linear-Signature", "", Hex).withID("Linear-Delivery"),
		Secret: SecretHint{Name: "signing secret", Example: "lin_wh_…"},
		Setup: []string{
			"In Linear open Settings, then API, and choose New webhook.",
			"Paste this webhook's URL and choose the data, such as Issues.",
			"Copy the signing secret from the webhook's page, and set it here.",
		},
		Docs: "https://linear.app/developers/webhooks",
	}
}

func twitch() Preset {
	const names = "Twitch-Eventsub-Message-"
	spec := bodyHMAC(names+"Signature", "sha256=", Hex).timed(Place{Header: names + "Timestamp"}, 10*time.Minute, "{id}{timestamp}{body}").withID(names + "Id")
	spec.Clock = RFC3339
	return Preset{
		Name: "twitch", Title: "Twitch EventSub", About: "follows, cheers, subscriptions",
		Spec:    spec,
		Receive: Receive{Challenge: "twitch"},
		Secret:  SecretHint{Name: "transport secret", Example: "10 to 100 ASCII characters that you choose", Chosen: true},
		Setup: []string{
			"Set a secret of 10 to 100 ASCII characters here first: Twitch signs its challenge, too.",
			"Create the subscription with Twitch's API (POST /helix/eventsub/subscriptions): transport.method webhook, transport.callback this webhook's URL (https on port 443), transport.secret the same secret.",
			"Twitch sends its challenge, which this webhook answers, and the subscription becomes enabled.",
		},
		Docs:   "https://dev.twitch.tv/docs/eventsub/handling-webhook-events/",
		Sample: Sample{Header: map[string]string{names + "Type": "notification"}},
	}
}
