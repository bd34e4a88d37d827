package console

import "github.com/coinhook/coinhook/pkg/delivery"

// advice says what to do about a failed delivery, in one sentence a reason.
var advice = map[delivery.Reason]string{
	delivery.InvalidJSON:           "Ask the sender for strict JSON in UTF-8, or edit the payload and replay it.",
	delivery.DecryptionFailed:      "Compare key, mode and form of the body with the sender's, set the right key, and replay it.",
	delivery.MissingUserIdentifier: "See in the payload where the user is named, mend the webhook's user path, and replay it.",
	delivery.InvalidUserIdentifier: "See what the payload has at the user path: it must be a text of at most 320 characters; mend the path, and replay it.",
	delivery.UserNotFound:          "Add or import the user, and replay it; late_users in the webhook's definition does that by itself.",
	delivery.MissingField:          "See in the payload where the value is, mend the mapping's path, and replay it.",
	delivery.InvalidAmount:         "See what the payload has there: an amount is a number whose decimals fit the currency; set times or round in the mapping, and replay it.",
	delivery.NegativeAmount:        "If negative amounts are meant, say signed: true in the mapping, and replay it.",
	delivery.AmountOutOfRange:      "The amount is too large for any balance: ask the sender whether it is meant.",
	delivery.InsufficientBalance:   "The user has too little: replay it once the balance suffices, or lower the currency's minimum.",
	delivery.BalanceLimitExceeded:  "The balance would exceed its maximum: raise the currency's maximum and replay it, or discard it.",
	delivery.InvalidFieldValue:     "See what the payload has there and what the custom field takes, mend one of them, and replay it.",
	delivery.IdempotencyConflict:   "The sender used one key for two different bodies: ask it which one is meant, and discard the other.",
	delivery.WebhookDeleted:        "The webhook was deleted before it was executed: discard it, or have the sender send it to another webhook.",
	delivery.InvalidMapping:        "The webhook's definition names something that is not there any more, such as a currency: mend it, and replay it.",
	delivery.MalformedDelivery:     "What the stream has cannot be read: report it, with the id, to whoever runs Coinhook.",
	delivery.Internal:              "This is a bug of Coinhook, and the applier's log has the cause: report it, with the id, and replay it once that is mended.",
}
