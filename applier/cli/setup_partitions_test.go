package cli_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// partitions are the rows and the consumers of partitions, which have to agree.
func (i *installation) partitions() (rows, consumers []string) {
	i.t.Helper()
	generations, err := i.store().Generations(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	for _, g := range generations {
		if g.Finished {
			continue
		}
		if g.Rows != g.Count {
			i.t.Errorf("generation %d has %d rows, want %d", g.Number, g.Rows, g.Count)
		}
		for index := range g.Count {
			rows = append(rows, g.Partition(index).Name())
		}
	}
	return rows, i.server.PartitionConsumers()
}

func TestSetupPartitions(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	run := func(want int, args ...string) result {
		t.Helper()
		r := i.run(append([]string{"setup"}, args...)...)
		if r.code != want {
			t.Fatalf("coinhook setup %s: %+v, want exit %d", strings.Join(args, " "), r, want)
		}
		return r
	}
	agree := func(want ...string) {
		t.Helper()
		rows, consumers := i.partitions()
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("rows: %s", diff)
		}
		if diff := cmp.Diff(want, consumers); diff != "" {
			t.Errorf("consumers: %s", diff)
		}
		run(0, "--check")
	}
	for _, n := range []string{"0", "-1", "65"} {
		if r := run(2, "--partitions="+n); !strings.Contains(r.stderr, "--partitions is 1 to 64, not "+n) {
			t.Errorf("%s partitions: %q", n, r.stderr)
		}
	}
	i.server.BeforePartitions()
	i.execute("DELETE FROM partitions")
	if r := run(2, "--partitions", "1"); !strings.Contains(r.stderr, "appliers of the version before settle nothing") || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("an upgrade says %q", r.stderr)
	}
	run(0, "--partitions", "1", "--yes")
	agree("partition-1-0")
	if r := run(1, "--partitions", "2", "--check"); !strings.Contains(r.stdout, "consumer partition-2-1") || !strings.Contains(r.stdout, "partitions of generation 2") {
		t.Errorf("--check says %q", r.stdout)
	}
	run(0, "--partitions", "2")
	agree("partition-1-0", "partition-2-0", "partition-2-1")
	i.execute("UPDATE partitions SET finished_at = now() WHERE generation = 1")
	run(0)
	agree("partition-2-0", "partition-2-1")
	i.execute("DELETE FROM partitions WHERE partition = 1")
	i.server.DeleteConsumer("DELIVERIES", "partition-2-0")
	run(1, "--check")
	run(0)
	agree("partition-2-0", "partition-2-1")
}

// Two commands at the same time make one set of partitions.
func TestSetupsAtTheSameTime(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.server.BeforePartitions()
	i.execute("DELETE FROM partitions")
	var setups sync.WaitGroup
	for n := 2; n <= 5; n++ {
		setups.Go(func() {
			if r := i.run("setup", "--partitions", fmt.Sprint(n), "--yes"); r.code != 0 {
				t.Errorf("%d partitions: %+v", n, r)
			}
		})
	}
	setups.Wait()
	rows, consumers := i.partitions()
	if diff := cmp.Diff(rows, consumers); diff != "" || len(rows) < 2+3+4+5 {
		t.Errorf("rows and consumers: %s", diff)
	}
	r := i.run("setup", "--check", "-o", "json")
	var got setupCheckJSON
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || !got.OK {
		t.Errorf("%+v %v", r, err)
	}
}
