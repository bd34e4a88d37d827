package console_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/console"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/secret"
)

// racing is somebody else, who saves a webhook before the first one who saves it here.
type racing struct {
	*broker.Definitions
	once sync.Once
}

func (r *racing) Update(ctx context.Context, s broker.Saved, now time.Time) (broker.Saved, error) {
	var err error
	r.once.Do(func() {
		var theirs broker.Saved
		if theirs, err = r.Get(ctx, s.ID); err == nil {
			theirs.Mappings = slices.Clone(theirs.Mappings)
			theirs.Mappings[0].Value.Times = "7"
			_, err = r.Definitions.Update(ctx, theirs, now)
		}
	})
	if err != nil {
		return s, err
	}
	return r.Definitions.Update(ctx, s, now)
}

// The page of a conflict is about what the webhook has by then: saving again means it, also
// where the other one was faster by a moment.
func TestSomebodySavedAMomentBefore(t *testing.T) {
	t.Parallel()
	other := &racing{}
	everywhere := func(context.Context, string) (*applier.Community, error) {
		return &applier.Community{Name: "default"}, nil
	}
	w := newWorld(t, func(o *console.Options) { o.Webhooks = webhooks.New(other, everywhere, time.Now, secret.MasterKey{}) })
	other.Definitions = broker.NewDefinitions(w.Conn)
	hook := w.webhookOf(`{name: Shop, auth: {}, user: {by: email, path: user}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	address := "/webhooks/" + hook.ID
	p := w.admin.post(address, with(fields(w.admin.get(address)), "user_path", "me", "do", "save"))
	if p.status != http.StatusConflict || !strings.Contains(p.text("#conflict"), `times: "7"`) {
		t.Fatalf("%d %s", p.status, p.text("main"))
	}
	if p = w.admin.post(address, with(fields(p), "do", "save")); p.status != http.StatusSeeOther || w.reread(hook.ID).User.Path != "me" {
		t.Errorf("saved again: %d %s", p.status, p.text("main"))
	}
}
