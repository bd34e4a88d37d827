package console

import "github.com/coinhook/coinhook/pkg/delivery"

// advice says what to do about a failed delivery, in one sentence a reason.
var advice = map[delivery.Reason]string{
	delivery.InvalidJSON:           "Ask the sender for strict JSON in UTF-8, or edit the payload and replay it; for a form or a query set receive.payload in the webhook's definition.",
	delivery.InvalidPayload:        "Compare the request with receive in the webhook's definition, correct one of them, and replay it.",
	delivery.DecryptionFailed:      "Compare key, mode and form of the body with the sender's, set the right key, and replay it.",
	delivery.MissingUserIdentifier: "Find the user in the payload, correct the webhook's user path, and replay it.",
	delivery.InvalidUserIdentifier: "Check what the payload has at the user path: it must be a text of at most 320 characters. Correct the path, and replay it.",
	delivery.UserNotFound:          "Add or import the user, and replay it; late_users in the webhook's definition does that by itself.",
	delivery.MissingField:          "Find the value in the payload, correct the mapping's path, and replay it.",
	delivery.InvalidAmount:         "Check what the payload has there: an amount is a number with no more decimals than the currency. Set times or round in the mapping, and replay it.",
	delivery.NegativeAmount:        "If negative amounts are intended, set signed: true in the mapping, and replay it.",
	delivery.AmountOutOfRange:      "The amount is too large for any balance: ask the sender whether it is intended.",
	delivery.InsufficientBalance:   "The user has too little: replay it once the balance suffices, or lower the currency's minimum.",
	delivery.BalanceLimitExceeded:  "The balance would exceed its maximum: raise the currency's maximum and replay it, or discard it.",
	delivery.InvalidFieldValue:     "Check what the payload has there and what the custom field takes, correct one of them, and replay it.",
	delivery.IdempotencyConflict:   "The sender used one key for two different bodies: ask it which one is right, and discard the other.",
	delivery.WebhookDeleted:        "The webhook was deleted before it was executed: undelete the webhook and replay it, or discard it.",
	delivery.InvalidMapping:        "The webhook's definition names something that no longer exists, such as a currency: correct it, and replay it.",
	delivery.MalformedDelivery:     "Somebody without permission may have written it to the stream: report it, with the id, to the operator of Coinhook.",
	delivery.Internal:              "This is a bug in Coinhook, and the applier's log has the cause: report it, with the id, and replay it once the bug is fixed.",
}

// draftAdvice is for a webhook that is being made: nothing is to be replayed yet.
var draftAdvice = map[delivery.Reason]string{
	delivery.InvalidJSON:           "Send strict JSON in UTF-8, and catch it again; for a form or a query set receive.payload in the webhook's definition.",
	delivery.InvalidPayload:        "Compare the request with receive in the webhook's definition, correct one of them, and catch it again.",
	delivery.MissingUserIdentifier: "Pick the value that names the user in the sample (step 5).",
	delivery.InvalidUserIdentifier: "Pick a value that is a text, such as an email, for the user (step 5).",
	delivery.UserNotFound:          "No user has this email or username yet: add the user, or pick another value (step 5). An invented sample may name nobody.",
	delivery.MissingField:          "Pick a value that the sample has (step 6).",
	delivery.InvalidAmount:         "Pick a value that is a number; with decimals that the currency does not have, choose how to round (step 6).",
	delivery.NegativeAmount:        "If negative amounts are intended, allow them at the field mapping (step 6).",
	delivery.InvalidFieldValue:     "Pick a value that the custom field takes (step 6).",
}

// previewAdvice says what to do about what would fail.
func previewAdvice(reason delivery.Reason) string {
	if text, ok := draftAdvice[reason]; ok {
		return text
	}
	return advice[reason]
}

// remedy is where an admin mends what made a delivery fail.
type remedy struct{ Text, Address string }

// remedyOf returns nil where no page helps.
func remedyOf(reason delivery.Reason, webhookID, community string) *remedy {
	switch reason {
	case delivery.InvalidJSON, delivery.InvalidPayload, delivery.MissingUserIdentifier, delivery.InvalidUserIdentifier, delivery.MissingField,
		delivery.InvalidAmount, delivery.NegativeAmount, delivery.InvalidMapping:
		return &remedy{"Open the mapping", "/webhooks/" + webhookID + "/mapping"}
	case delivery.DecryptionFailed:
		return &remedy{"Open the webhook", "/webhooks/" + webhookID}
	case delivery.UserNotFound:
		return &remedy{"Add the user", inCommunity("/users", community)}
	case delivery.InsufficientBalance, delivery.BalanceLimitExceeded:
		return &remedy{"See the currencies", inCommunity("/settings", community)}
	case delivery.InvalidFieldValue:
		return &remedy{"See the custom fields", inCommunity("/settings", community)}
	case delivery.WebhookDeleted:
		return &remedy{"See the deleted webhooks", "/webhooks"}
	}
	return nil
}
