package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// BenchmarkSettle settles batches over a thousand users: full ones, and those of low
// rates.
func BenchmarkSettle(b *testing.B) {
	const users = 1000
	for _, bc := range []struct {
		name  string
		batch int
		with  func(n int, item *applier.Item)
	}{
		{"currencies", 256, func(int, *applier.Item) {}},
		{"currencies, 32", 32, func(int, *applier.Item) {}},
		{"currencies, 2", 2, func(int, *applier.Item) {}},
		{"keys", 256, func(n int, item *applier.Item) { withKey(item, fmt.Sprint(n), "body") }},
		{"fields", 256, func(n int, item *applier.Item) {
			item.Delivery.Position = delivery.Position{Sequence: uint64(n)}
			item.Plan.Fields = []applier.FieldChange{{Field: "team", Value: "red", Revision: 1}}
		}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			s, db := postgrestest.Open(b, postgres.Options{Settling: true})
			owned := leased(b, db, 0, 1)
			emails := make([]string, users)
			for i := range emails {
				emails[i] = fmt.Sprintf("user%d@example.com", i)
			}
			addUsers(b, s, emails...)
			setField(b, s, "team", applier.Text)
			n := 0
			for b.Loop() {
				b.StopTimer()
				items := make([]applier.Item, bc.batch)
				for i := range items {
					items[i] = plan(b, emails[(n*7)%users], change(webhook.Add, "coins", 5), change(webhook.Add, "xp", 1))
					items[i].Lease = owned
					bc.with(n, &items[i])
					n++
				}
				b.StartTimer()
				settle(b, s, items...)
			}
			b.ReportMetric(float64(bc.batch*b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkFreshTables settles 100,000 deliveries on tables that were analysed
// while they were empty. It prints how many times as long as the fastest batch the
// slowest one takes, and the same of the medians of windows of 20 batches.
func BenchmarkFreshTables(b *testing.B) {
	const batches, size, window = 400, 250, 20
	for b.Loop() {
		var all []time.Duration
		settleFresh(b, batches, size, func(took time.Duration, _ int) { all = append(all, took) })
		var medians []time.Duration
		for part := range slices.Chunk(all, window) {
			medians = append(medians, slices.Sorted(slices.Values(part))[window/2])
		}
		ratio := func(times []time.Duration) float64 {
			return float64(slices.Max(times)) / float64(slices.Min(times))
		}
		b.ReportMetric(ratio(all), "slowest/fastest")
		b.ReportMetric(ratio(medians), "slowest/fastest-median")
		b.Logf("medians of %d batches each: %v", window, medians)
	}
}
