package cli

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type tokensCmd struct {
	Add    tokensAddCmd    `cmd:"" help:"Make a token. It is shown only once."`
	List   tokensListCmd   `cmd:"" help:"List tokens, newest first, including those that no longer work."`
	Revoke tokensRevokeCmd `cmd:"" help:"End a token for good, at once."`
}

type tokensAddCmd struct {
	Name    string `arg:"" help:"A name, such as the program that will use it."`
	Expires string `placeholder:"90d" help:"How long it works, such as 90d or 12h. Default: until it is revoked."`
}

// newTokenJSON is a token with its text.
type newTokenJSON struct {
	admin.Token
	Text string `json:"token"`
}

func (c *tokensAddCmd) Run(a *app) error {
	if err := access.CheckTokenName(c.Name); err != nil {
		return usageError{err}
	}
	var lasts time.Duration
	if c.Expires != "" {
		var err error
		if lasts, err = parseDuration(c.Expires); err != nil || lasts <= 0 {
			return usagef("--expires is a duration such as 90d or 12h, not %q", c.Expires)
		}
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	text, t, err := db.Tokens().Add(a.ctx, a.community(), c.Name, lasts, a.who())
	if errors.Is(err, access.ErrTokenExists) {
		return fmt.Errorf("%w: %q in the community %q", err, c.Name, a.community())
	}
	if err != nil {
		return err
	}
	if err := a.record("add token", "token", t.Name, map[string]any{"community": t.Community, "expires_at": t.ExpiresAt}); err != nil {
		return err
	}
	if t.ExpiresAt == nil {
		a.say("The token never expires: it works until `coinhook tokens revoke`. --expires 90d limits a token.")
	}
	if a.json() {
		return a.printJSON(newTokenJSON{t, text})
	}
	a.printPairs([][2]string{{"name", t.Name}, {"community", t.Community}, {"expires", timeOr(t.ExpiresAt, "never")}, {"token", text}})
	fmt.Fprintln(a.Stdout, "The token is shown only once: programs send it in the header Authorization: Bearer TOKEN.")
	return nil
}

type tokensListCmd struct{ limitFlag }

func (c *tokensListCmd) Run(a *app, db *wiring.Database) error {
	list, err := db.Tokens().List(a.ctx, a.flags.Community)
	if err != nil {
		return err
	}
	if list, err = cut(a, c.limitFlag, list); err != nil {
		return err
	}
	return printList(a, list, []string{"name", "community", "state", "made", "by", "expires", "last used"}, func(t admin.Token) []string {
		return []string{t.Name, t.Community, string(t.State), localTime(t.CreatedAt), t.CreatedBy, timeOr(t.ExpiresAt, "never"), timeOr(t.LastUsedAt, "never")}
	})
}

type tokensRevokeCmd struct {
	Name string `arg:"" help:"The token's name."`
}

func (c *tokensRevokeCmd) Run(a *app, db *wiring.Database) error {
	service := db.Tokens()
	list, err := service.List(a.ctx, a.community())
	if err != nil {
		return err
	}
	notFound := fmt.Errorf("%w: %q in the community %q", access.ErrNoToken, c.Name, a.community())
	list = slices.DeleteFunc(list, func(t admin.Token) bool { return t.State == admin.TokenRevoked })
	names := each(list, func(t admin.Token) string { return t.Name })
	if !slices.Contains(names, c.Name) { // before anybody is asked
		return orMeant(notFound, webhook.Alike(c.Name, names), "`coinhook tokens list` lists all")
	}
	if err := a.confirm(fmt.Sprintf("Revoke the token %q of the community %q? Programs that use it are refused from then on.", printable(c.Name), printable(a.community()))); err != nil {
		return err
	}
	err = service.Revoke(a.ctx, a.community(), c.Name, a.who())
	if errors.Is(err, access.ErrNoToken) {
		return notFound
	}
	if err != nil {
		return err
	}
	if err := a.record("revoke token", "token", c.Name, map[string]any{"community": a.community()}); err != nil {
		return err
	}
	return a.done(map[string]string{"community": a.community(), "revoked": c.Name}, "Token %q revoked.", printable(c.Name))
}
