package applier_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestUserNotFoundSaysWhereTheNameStands(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		user webhook.UserRef
		want string
	}{
		"in the payload": {webhook.UserRef{By: webhook.ByEmail, Path: "user.email"}, "The community shop has no user with the email found at user.email."},
		"in a header":    {webhook.UserRef{By: webhook.ByEmail, Header: "X-User"}, "The community shop has no user with the email found in the header X-User."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &webhook.Webhook{Record: webhook.Record{Definition: webhook.Definition{Community: "shop", User: &tc.user}}}
			f := applier.UserNotFound(w)
			if f.Detail != tc.want || f.Path != tc.user.Path {
				t.Errorf("%q at the path %q, want %q", f.Detail, f.Path, tc.want)
			}
		})
	}
}
