// Package webhooks has what an admin does to webhooks: one implementation for
// command, console and API.
package webhooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// ErrNotFound: there is no such webhook.
var ErrNotFound = broker.ErrWebhookNotFound

// ErrNoAPIKey: the webhook's definition does not ask for an API key.
var ErrNoAPIKey = errors.New("the webhook does not use an API key: set `auth: {api_key: true}` in its definition and apply it")

// Definitions keeps webhooks.
type Definitions interface {
	Find(ctx context.Context, community, nameOrID string) (broker.Saved, error)
	// Get and Deleted return deleted webhooks, too.
	Get(ctx context.Context, id string) (broker.Saved, error)
	Deleted(ctx context.Context) ([]broker.Saved, error)
	List(ctx context.Context) ([]broker.Saved, error)
	Create(ctx context.Context, rec webhook.Record, now time.Time) (broker.Saved, error)
	Update(ctx context.Context, s broker.Saved, now time.Time) (broker.Saved, error)
	Rename(ctx context.Context, s broker.Saved, name string, now time.Time) (broker.Saved, error)
	Undelete(ctx context.Context, deleted broker.Saved, before webhook.Record, now time.Time) (broker.Saved, error)
	Versions(ctx context.Context, id string) ([]broker.Saved, error)
	// Unreadable returns what List and Deleted leave out.
	Unreadable(ctx context.Context) ([]broker.Unreadable, error)
	DeleteUnreadable(ctx context.Context, id string, now time.Time) (broker.Saved, error)
	RewriteVersions(ctx context.Context, newest broker.Saved, change broker.Rewriting) ([]int, error)
}

// Service does it.
type Service struct {
	definitions Definitions
	community   Community
	now         func() time.Time
	master      secret.MasterKey
}

// Community reads the currencies and custom fields that a community has now.
type Community func(ctx context.Context, name string) (*applier.Community, error)

// New returns a service. Without a master key it cannot make or take AES keys.
func New(definitions Definitions, community Community, now func() time.Time, master secret.MasterKey) *Service {
	return &Service{definitions: guarded{definitions}, community: community, now: now, master: master}
}

// Saved is a webhook as saved. APIKey is the text of a key that was made with
// it, to be shown once; so is AESKey.
type Saved struct {
	broker.Saved
	APIKey string
	AESKey secret.AESKey
	// Secret is a signing secret or a password that was made, to be shown once.
	Secret string
	// Change says what saving it did.
	Change Change
}

// Change is what an Apply did.
type Change string

const (
	Created   Change = "created"
	Updated   Change = "updated"
	Unchanged Change = "unchanged"
)

// ParseIn reads a definition and checks it against the currencies and custom fields there
// are. The community is that of a text that names none.
func (s *Service) ParseIn(ctx context.Context, src []byte, community string) (webhook.Definition, error) {
	// The community decides which currencies and fields exist, and the text names it.
	def, err := webhook.Parse(src, webhook.InCommunity(community))
	if err != nil {
		return webhook.Definition{}, err
	}
	return s.check(ctx, src, def)
}

// ParseFor parses a webhook's next version. The webhook's name and community replace
// those of the text. Its auth and state are kept if the text has none.
func (s *Service) ParseFor(ctx context.Context, src []byte, w broker.Saved) (webhook.Definition, error) {
	def, err := webhook.Parse(src)
	if err != nil {
		return webhook.Definition{}, err
	}
	def.Community = w.Community
	def, err = s.check(ctx, src, def)
	def.Name, def.Community = w.Name, w.Community
	return def.Over(w.Definition), err
}

// check reads the text again with what the definition's community has.
func (s *Service) check(ctx context.Context, src []byte, def webhook.Definition) (webhook.Definition, error) {
	c, err := s.communityOf(ctx, def)
	if err != nil {
		return webhook.Definition{}, err
	}
	return webhook.Parse(src, append(against(c), webhook.InCommunity(def.Community))...)
}

// against has a definition checked against what its community has.
func against(c *applier.Community) []webhook.Option {
	return []webhook.Option{
		webhook.KnownCurrencies(knownCurrency(c)), webhook.KnownFields(knownField(c)), webhook.PossibleMappings(possible(c)),
	}
}

// possible refuses what lies beyond the limits of a currency.
func possible(c *applier.Community) func(m webhook.Mapping) error {
	return func(m webhook.Mapping) error {
		currency, ok := c.Currency(m.Currency)
		if m.Field != "" || !ok {
			return nil
		}
		return mapping.Impossible(m, currency)
	}
}

// communityOf reads what there is, unless the definition changes only what every
// community has: that needs no database. A constant is compared with the limits of
// its currency, if they can be read.
func (s *Service) communityOf(ctx context.Context, def webhook.Definition) (*applier.Community, error) {
	everywhere := &applier.Community{Name: def.Community}
	isEverywhere := everywhere.HasAll(def.Mappings)
	if isEverywhere && !(def.State.Accepts() && slices.ContainsFunc(def.Mappings, isConstant)) {
		return everywhere, nil
	}
	c, err := s.community(ctx, def.Community)
	if err != nil && isEverywhere {
		return everywhere, nil
	}
	return c, err
}

func isConstant(m webhook.Mapping) bool { return m.Field == "" && m.Value.Constant != nil }

func knownCurrency(c *applier.Community) func(code string) bool {
	return func(code string) bool {
		_, ok := c.Currency(code)
		return ok
	}
}

func knownField(c *applier.Community) webhook.KnownField {
	return func(name string) (func(string) error, bool) {
		f, ok := c.Field(name)
		return func(text string) error {
			if err := f.Check(text); err != nil {
				return fmt.Errorf("the value %w", err)
			}
			return nil
		}, ok
	}
}

// Find returns a webhook by id or fingerprint, or by name within a community. One in a newer format
// comes with ErrNewer, and with its envelope only.
func (s *Service) Find(ctx context.Context, community, nameOrID string) (broker.Saved, error) {
	saved, err := s.find(ctx, community, nameOrID)
	if err == nil && saved.IsNewer() {
		err = saved.Newer
	}
	return saved, err
}

func (s *Service) find(ctx context.Context, community, nameOrID string) (broker.Saved, error) {
	nameOrID, err := s.idOf(ctx, nameOrID)
	if err != nil {
		return broker.Saved{}, err
	}
	saved, err := s.definitions.Find(ctx, community, nameOrID)
	if errors.Is(err, broker.ErrWebhookNotFound) && !webhook.IsID(nameOrID) {
		return broker.Saved{}, fmt.Errorf("%w: %q in the community %q", err, nameOrID, community)
	}
	if errors.Is(err, broker.ErrWebhookNotFound) {
		return broker.Saved{}, fmt.Errorf("%w: %s", err, nameOrID)
	}
	return saved, err
}

// FindEver is Find for histories: it also finds a deleted webhook, unless another one
// has its name now.
func (s *Service) FindEver(ctx context.Context, community, nameOrID string) (broker.Saved, error) {
	nameOrID, err := s.idOf(ctx, nameOrID)
	if err != nil {
		return broker.Saved{}, err
	}
	if webhook.IsID(nameOrID) {
		saved, err := s.definitions.Get(ctx, nameOrID)
		if errors.Is(err, broker.ErrWebhookNotFound) {
			err = fmt.Errorf("%w: %s", err, nameOrID)
		}
		return saved, err
	}
	saved, notFound := s.find(ctx, community, nameOrID)
	if !errors.Is(notFound, broker.ErrWebhookNotFound) {
		return saved, notFound
	}
	deleted, err := s.deletedAs(ctx, community, nameOrID)
	switch {
	case err != nil:
		return broker.Saved{}, err
	case len(deleted) == 0:
		return broker.Saved{}, notFound
	case len(deleted) > 1:
		ids := make([]string, len(deleted))
		for i, w := range deleted {
			ids[i] = w.ID
		}
		slices.Sort(ids)
		return broker.Saved{}, fmt.Errorf("%d deleted webhooks had the name %q, take one by its id: %s", len(ids), nameOrID, strings.Join(ids, ", "))
	}
	return deleted[0], nil
}

// Communities returns those that have, or had, a webhook.
func (s *Service) Communities(ctx context.Context) ([]string, error) {
	all, err := s.ever(ctx)
	var names []string
	for _, w := range all {
		names = append(names, w.Community)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// ever returns all webhooks, deleted ones last.
func (s *Service) ever(ctx context.Context) ([]broker.Saved, error) {
	there, err := s.definitions.List(ctx)
	if err != nil {
		return nil, err
	}
	deleted, err := s.definitions.Deleted(ctx)
	return append(there, deleted...), err
}

// List returns the webhooks of a community, or all if it is empty, by community
// and name.
func (s *Service) List(ctx context.Context, community string) ([]broker.Saved, error) {
	all, err := s.definitions.List(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(w broker.Saved) bool { return community != "" && w.Community != community })
	slices.SortFunc(all, func(a, b broker.Saved) int {
		return cmp.Or(strings.Compare(a.Community, b.Community), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

// Apply creates the webhook that has this name in its community, or updates it.
func (s *Service) Apply(ctx context.Context, def webhook.Definition) (Saved, error) {
	planned, err := s.Plan(ctx, def)
	if err != nil {
		return Saved{}, err
	}
	return s.ApplyPlanned(ctx, planned)
}

func (s *Service) create(ctx context.Context, def webhook.Definition) (Saved, error) {
	return s.createRecord(ctx, webhook.Record{ID: webhook.NewID(), Definition: def.AsNew()})
}

func (s *Service) createRecord(ctx context.Context, rec webhook.Record) (Saved, error) {
	key := s.withAPIKey(&rec)
	aesKey, err := s.withAESKey(&rec)
	if err != nil {
		return Saved{}, err
	}
	saved, err := s.definitions.Create(ctx, rec, s.now())
	return Saved{Saved: saved, APIKey: key, AESKey: aesKey, Change: Created}, err
}

func (s *Service) save(ctx context.Context, w broker.Saved) (Saved, error) {
	w.APIKeys = slices.Clone(w.APIKeys)
	key := s.withAPIKey(&w.Record)
	aesKey, err := s.withAESKey(&w.Record)
	if err != nil {
		return Saved{}, err
	}
	saved, err := s.definitions.Update(ctx, w, s.now())
	return Saved{Saved: saved, APIKey: key, AESKey: aesKey, Change: Updated}, err
}

// withAPIKey gives a record that asks for an API key and has none its first
// one, and takes them from a record that does not ask any more: a key that was
// switched off must not come back to life.
func (s *Service) withAPIKey(rec *webhook.Record) (text string) {
	if !rec.Auth.APIKey {
		rec.APIKeys = nil
		return ""
	}
	if len(rec.APIKeys) > 0 {
		return ""
	}
	text, key := secret.NewAPIKey(s.now())
	rec.APIKeys = []secret.APIKey{key}
	return text
}

// RotateKey gives the webhook a new API key. Those it had work for the overlap,
// unless they end sooner.
func (s *Service) RotateKey(ctx context.Context, w broker.Saved, overlap time.Duration) (Saved, error) {
	if !w.Auth.APIKey {
		return Saved{}, ErrNoAPIKey
	}
	now := s.now()
	end := now.Add(overlap)
	text, key := secret.NewAPIKey(now)
	keys := []secret.APIKey{key}
	for _, old := range w.APIKeys {
		endBy(&old.ExpiresAt, end)
		if old.Valid(now) {
			keys = append(keys, old)
		}
	}
	w.APIKeys = keys
	saved, err := s.definitions.Update(ctx, w, now)
	return Saved{Saved: saved, APIKey: text, Change: Updated}, err
}
