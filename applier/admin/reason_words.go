package admin

import (
	"cmp"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// reasonWords say why a delivery failed to people who do not know the codes.
var reasonWords = map[delivery.Reason]string{
	delivery.InvalidJSON:           "Not valid JSON",
	delivery.InvalidPayload:        "Payload not as the webhook expects",
	delivery.DecryptionFailed:      "Could not be decrypted",
	delivery.MissingUserIdentifier: "No user in the payload",
	delivery.InvalidUserIdentifier: "User value cannot be used",
	delivery.UserNotFound:          "Unknown user",
	delivery.MissingField:          "Value missing in the payload",
	delivery.InvalidAmount:         "Amount cannot be used",
	delivery.NegativeAmount:        "Negative amount",
	delivery.AmountOutOfRange:      "Amount too large",
	delivery.InsufficientBalance:   "Balance too low",
	delivery.BalanceLimitExceeded:  "Balance above its maximum",
	delivery.InvalidFieldValue:     "Custom field refuses the value",
	delivery.IdempotencyConflict:   "One key for two different bodies",
	delivery.WebhookDeleted:        "Webhook was deleted",
	delivery.InvalidMapping:        "Mapping names what is gone",
	delivery.MalformedDelivery:     "Malformed delivery",
	delivery.Internal:              "Error inside Coinhook",
}

// ReasonWords is a reason in words, its code where there are none.
func ReasonWords(reason delivery.Reason) string {
	return cmp.Or(reasonWords[reason], string(reason))
}
