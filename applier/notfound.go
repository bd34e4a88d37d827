package applier

import (
	"fmt"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// UserNotFound is the failure of a delivery that names nobody. It does not say
// who was asked for: that is personal data.
func UserNotFound(w *webhook.Webhook) *delivery.Failure {
	at := "at " + w.User.Path
	if w.User.Header != "" {
		at = "in the header " + w.User.Header
	}
	return &delivery.Failure{
		Reason: delivery.UserNotFound,
		Detail: fmt.Sprintf("The community %s has no user with the %s found %s.", w.Community, w.User.Key(), at),
		Path:   w.User.Path,
	}
}
