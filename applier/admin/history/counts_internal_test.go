package history

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
)

// Buckets tell a quantile to less than the width of one.
func TestQuantilesOfBuckets(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var c times
		all := make([]float64, 1+random.IntN(300))
		for i := range all {
			all[i] = math.Pow(10, random.Float64()*8) // ms
			c.add([]postgres.TimeBucket{{Bucket: int(6*math.Log10(all[i])) + 1, Count: 1}})
		}
		slices.Sort(all)
		for _, q := range []float64{0.01, 0.5, 0.99, 1} {
			want := all[int(math.Ceil(q*float64(len(all))))-1]
			got := float64(c.quantile(q)) / float64(time.Millisecond)
			if ratio := got / want; ratio > 1.47 || ratio < 1/1.47 {
				t.Fatalf("quantile %v of %d is %v ms, want about %v", q, len(all), got, want)
			}
		}
	}
	if got := (&times{}).quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %s", got)
	}
}
