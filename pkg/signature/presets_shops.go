package signature

// shops are the senders that sell something.
func shops() []Preset {
	return []Preset{stripe(), paddle(), shopify(), wooCommerce(), tebex(), xsolla()}
}

func stripe() Preset {
	return Preset{
		Name: "stripe", Title: "Stripe", About: "payments and subscriptions",
		Spec:   bodyHMAC("Stripe-Signature", "v1=", Hex).timed(Place{Field: "t"}, fiveMinutes, "{timestamp}.{body}"),
		Key:    Key{Paths: []string{"id"}},
		Secret: SecretHint{Name: "signing secret", Example: "whsec_…"},
		Setup: []string{
			"In the Stripe Dashboard open Workbench, then Webhooks, and choose Create an event destination (older: Add endpoint).",
			"Choose the events, such as checkout.session.completed and checkout.session.async_payment_succeeded, and the destination Webhook endpoint.",
			"Paste this webhook's URL as the endpoint URL and create it.",
			"Reveal the signing secret, which begins with whsec_, and set it here as it is.",
		},
		Docs: "https://docs.stripe.com/webhooks/signature",
	}
}

func paddle() Preset {
	spec := bodyHMAC("Paddle-Signature", "h1=", Hex).timed(Place{Field: "ts"}, fiveMinutes, "{timestamp}:{body}")
	spec.Separator = ";"
	return Preset{
		Name: "paddle", Title: "Paddle Billing", About: "payments and subscriptions",
		Spec:   spec,
		Key:    Key{Paths: []string{"event_id"}},
		Secret: SecretHint{Name: "endpoint secret key", Example: "pdl_ntfset_…"},
		Setup: []string{
			"In Paddle open Developer tools, then Notifications, and choose New destination.",
			"Choose the type Webhook, paste this webhook's URL, and tick the events, such as transaction.completed.",
			"Save, then edit the destination, copy its secret key, and set it here.",
		},
		Docs: "https://developer.paddle.com/webhooks/signature-verification",
	}
}

func shopify() Preset {
	spec := bodyHMAC("X-Shopify-Hmac-Sha256", "", Base64).withID("X-Shopify-Webhook-Id")
	spec.Variants = []Spec{bodyHMAC("Shopify-Hmac-Sha256", "", Base64).withID("Shopify-Webhook-Id")}
	return Preset{
		Name: "shopify", Title: "Shopify", About: "orders of a shop",
		Spec:   spec,
		Secret: SecretHint{Name: "client secret, or the key under Notifications", Example: "64 hex digits"},
		Setup: []string{
			"In the Shopify admin open Settings, then Notifications, then Webhooks, and choose Create webhook.",
			"Choose the event, such as Order payment, the format JSON, and paste this webhook's URL.",
			"The page shows the key that signs your webhooks: set it here. An app's webhooks are signed with the app's client secret instead.",
		},
		Docs:   "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
		Sample: Sample{Header: map[string]string{"X-Shopify-Topic": "orders/paid"}},
	}
}

func wooCommerce() Preset {
	return Preset{
		Name: "woocommerce", Title: "WooCommerce", About: "orders of a WordPress shop",
		Spec:   bodyHMAC("X-Wc-Webhook-Signature", "", Base64),
		Key:    Key{Paths: []string{"id"}},
		Secret: SecretHint{Name: "secret", Example: "a text that you choose", Chosen: true},
		Setup: []string{
			"In WordPress open WooCommerce, Settings, Advanced, Webhooks, and choose Add webhook.",
			"Choose the status Active and the topic Order updated, and paste this webhook's URL as the delivery URL.",
			"Type a long random secret, and set the same one here.",
			"Save. WooCommerce then sends one ping that it does not sign and reports response code 401 for it: that is expected, and the webhook stays active.",
		},
		Docs:   "https://woocommerce.com/document/webhooks/",
		Sample: Sample{Header: map[string]string{"X-Wc-Webhook-Topic": "order.updated"}},
	}
}

func tebex() Preset {
	spec := bodyHMAC("X-Signature", "", Hex)
	spec.Signed = "{body.sha256}"
	return Preset{
		Name: "tebex", Title: "Tebex", About: "payments of a game shop",
		Spec:    spec,
		Receive: Receive{Challenge: "tebex"},
		Key:     Key{Paths: []string{"id"}},
		Secret:  SecretHint{Name: "webhook secret key", Example: "32 hex digits"},
		Setup: []string{
			"In the Tebex creator panel open Developers, Webhooks, Endpoints, copy the secret key there, and set it here first: Tebex signs its validation, too.",
			"Choose Add Endpoint, paste this webhook's URL, tick the types, such as Payment Completed, and add it.",
			"Tebex sends its validation, which this webhook answers. If it was added too early, choose Validate next to the endpoint.",
		},
		Docs: "https://docs.tebex.io/developers/webhooks/overview",
	}
}

func xsolla() Preset {
	return Preset{
		Name: "xsolla", Title: "Xsolla", About: "payments of a game",
		Spec: Spec{
			Algorithm: SHA1, From: Place{Header: "Authorization"}, Prefix: "Signature ", Encoding: Hex,
			Signed: "{body}{secret}",
		},
		Receive: Receive{Answer: &Answer{Status: 204}},
		// An order_paid has no transaction of its own.
		Key:    Key{Paths: []string{"notification_type", "transaction.id"}, Else: []string{"notification_type", "order.id"}},
		Secret: SecretHint{Name: "project secret key", Example: "a text of letters and digits"},
		Setup: []string{
			"In the Publisher Account open your project, Project settings, Webhooks.",
			"Paste this webhook's URL as the webhook server, copy the secret key, and set it here.",
			"Choose Enable webhooks. Xsolla then asks with user_validation before each payment: this webhook answers yes to every user.",
		},
		Docs: "https://developers.xsolla.com/webhooks/overview/",
	}
}
