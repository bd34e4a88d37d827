package broker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// Readers that begin while there is no leader, each at another moment, have the
// definitions soon after there is one.
func TestDefinitionsAreReadSoonAfterAnElection(t *testing.T) {
	t.Parallel()
	const readers, soon = 6, 3500 * time.Millisecond
	c := brokertest.StartCluster(t, 3)
	c.ConnectSetUp()
	conn := c.Connect()
	c.Server(0).Stop()
	c.Server(1).Stop()
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	t.Cleanup(func() { stop(); reading.Wait() })
	var catalogs []*broker.Catalog
	for range readers {
		catalog := broker.NewCatalog(conn)
		reading.Go(func() { catalog.Run(ctx) }) //nolint:errcheck // it ends with its context
		catalog.Await(ctx, time.Second)
		catalogs = append(catalogs, catalog)
	}
	c.Server(0).Start()
	c.Server(1).Start()
	c.WaitReady()
	elected := time.Now()
	for _, catalog := range catalogs {
		catalog.Await(ctx, 20*time.Second)
		if err := catalog.Ready(ctx); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(elected); took > soon {
		t.Errorf("the definitions were read %s after there was a leader, want %s", took, soon)
	}
}
