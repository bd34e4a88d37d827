package console

import (
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// The tabs of a webhook's page, by the last part of their addresses.
const (
	tabOverview   = ""
	tabDeliveries = "deliveries"
	tabMapping    = "mapping"
	tabRejections = "rejections"
	tabSettings   = "settings"
	tabVersions   = "versions"
)

// webhookHead is what all tabs of a webhook show above their content.
type webhookHead struct {
	// May says that the account is an editor of it, MayManage that it is an admin.
	May, MayManage bool

	Webhook webhooks.Stored
	URL     string // empty where it is for admins only
	Tab     string
	Message string
	Parked  []parkedRow
	Focus   string // what the browser goes to
	APIKey  string // new ones, shown this once
	AESKey  string
	Secret  string // a signing secret or a password
}

func (s *Console) webhookHead(c *request, w webhooks.Stored, tab string) webhookHead {
	h := webhookHead{May: c.may(w.Community, admin.Editor), MayManage: c.may(w.Community, admin.AdminOf), Webhook: w, URL: s.urlFor(c, w), Tab: tab}
	if !h.IsDraft() {
		h.Parked = s.parked(c, w.ID, "")
	}
	return h
}

// Address is that of the webhook.
func (h *webhookHead) Address() string { return "/webhooks/" + h.Webhook.ID }

// Here is the address of the tab.
func (h *webhookHead) Here() string { return h.address(h.Tab) }

func (h *webhookHead) address(tab string) string {
	if tab == tabOverview || tab == tabMapping && h.IsDraft() {
		return h.Address()
	}
	return h.Address() + "/" + tab
}

// IsDraft: it is being made.
func (h *webhookHead) IsDraft() bool { return h.Webhook.State == webhook.Draft }

// CBCWarning is about the definition that is saved.
func (h *webhookHead) CBCWarning() string { return webhooks.CBCWarning(h.Webhook.Definition) }

// Tabs are those of the webhook: a draft has no deliveries, and begins with what is to be
// done.
func (h *webhookHead) Tabs() []chip {
	all := []chip{
		{Name: "Overview", Address: tabOverview},
		{Name: "Deliveries", Address: tabDeliveries},
		{Name: "Mapping", Address: tabMapping},
		{Name: "Rejections", Address: tabRejections},
		{Name: "Settings", Address: tabSettings},
		{Name: "Versions", Address: tabVersions},
	}
	if h.IsDraft() {
		all = all[2:]
		all[0].Name = "Set up"
	}
	for i, t := range all {
		all[i].Address, all[i].Current = h.address(t.Address), t.Address == h.Tab
	}
	return all
}

// addSaved has the page show what was made, this once.
func (h *webhookHead) addSaved(saved webhooks.Saved, message string) {
	h.APIKey, h.AESKey, h.Secret, h.Message, h.Focus = saved.APIKey, saved.AESKey.Reveal(), saved.Secret, message, "keys"
}

// keyLine is a key or secret that is kept, without what it is.
type keyLine struct {
	What   string
	MadeAt time.Time
	EndsAt *time.Time // nil: not before it is replaced
	Ended  bool
}

// keyLines are the keys and secrets of a webhook, the newest of a kind first.
func keyLines(rec webhook.Record, now time.Time) (all []keyLine) {
	add := func(what string, made time.Time, ends *time.Time) {
		all = append(all, keyLine{what, made, ends, ends != nil && !ends.After(now)})
	}
	for _, k := range rec.APIKeys {
		add("API key", k.CreatedAt, k.ExpiresAt)
	}
	addSealed := func(what string, kept []secret.SealedText) {
		for _, k := range kept {
			add(what, k.CreatedAt, k.ExpiresAt)
		}
	}
	addSealed("Signing secret", rec.SigningSecrets)
	addSealed("Password", rec.BasicPasswords)
	for _, k := range rec.AESKeys {
		add("AES key ("+k.Mode+")", k.CreatedAt, k.ExpiresAt)
	}
	return all
}
