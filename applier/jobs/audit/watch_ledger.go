package audit

import (
	"context"
	"errors"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ledgerJob checks the ledger, page by page. Its errors do not stop the stream audit.
func (w *Watch) ledgerJob() jobs.Job {
	return jobs.Job{
		Store: w.Store, Lead: postgres.AuditLedger, Every: every, What: "audit the ledger", Log: w.Log, Behind: w.Behind,
		Turn: func(ctx context.Context, _ *postgres.Lead) (time.Duration, error) {
			start := time.Now()
			err := w.watchLedger(ctx)
			pause := idle * time.Since(start)
			if err != nil || start.Before(w.ledgerBegins) {
				pause = max(every, pause)
			}
			return pause, err
		},
	}
}

// watchLedger checks the next page of the accounts and of the deliveries.
func (w *Watch) watchLedger(ctx context.Context) error {
	if time.Now().Before(w.ledgerBegins) {
		return nil
	}
	p, err := w.Store.LedgerProgress(ctx)
	if err != nil {
		return err
	}
	err = errors.Join(
		w.watchPage(ctx, &p.Accounts, w.Store.AuditAccounts),
		w.watchPage(ctx, &p.Deliveries, w.Store.AuditDeliveries),
	)
	if postgres.IsLastPage(p.Accounts) && postgres.IsLastPage(p.Deliveries) {
		p = postgres.LedgerProgress{}
		w.ledgerBegins = time.Now().Add(w.LedgerEvery)
		w.passed.SetToCurrentTime()
	}
	return errors.Join(err, w.Store.SaveLedgerProgress(ctx, p))
}

// watchPage checks one page. A part that is finished waits for the other one.
func (w *Watch) watchPage(ctx context.Context, at *delivery.ID, check func(context.Context, delivery.ID) (delivery.ID, []admin.Finding, error)) error {
	if postgres.IsLastPage(*at) {
		return nil
	}
	to, fresh, err := check(ctx, *at)
	if err != nil {
		return err
	}
	w.warn(fresh)
	*at = to
	return nil
}
