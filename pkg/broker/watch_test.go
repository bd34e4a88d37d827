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
// definitions once there is one. How soon, TestReadersAskAgainSoonAfterAnElection says.
func TestDefinitionsAreReadAfterAnElection(t *testing.T) {
	t.Parallel()
	const readers = 6
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
		reading.Go(func() { catalog.Run(ctx) }) // it ends with its context
		catalog.Await(ctx, time.Second)
		catalogs = append(catalogs, catalog)
	}
	c.Server(0).Start()
	c.Server(1).Start()
	c.WaitReady()
	for _, catalog := range catalogs {
		catalog.Await(ctx, time.Minute)
		if err := catalog.Ready(ctx); err != nil {
			t.Error(err)
		}
	}
}
