package broker_test

import (
	"slices"
	"testing"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// A hint about partitions is none about a community, and the reverse.
func TestHintsAreOfTwoKinds(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	got := make(chan string, 10)
	listen := func(on func(*broker.Conn) (func(), error)) (stop func()) {
		t.Helper()
		stop, err := on(conn)
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}
	stopPartitions := listen(func(c *broker.Conn) (func(), error) {
		return c.OnPartitionsHint(func() { got <- "partitions" })
	})
	defer listen(func(c *broker.Conn) (func(), error) {
		return c.OnBusyHint(func(community string) { got <- "busy " + community })
	})()
	hint := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hint(conn.HintPartitions())
	hint(conn.HintBusy("red"))
	all := []string{<-got, <-got}
	slices.Sort(all)
	if want := []string{"busy red", "partitions"}; !slices.Equal(all, want) {
		t.Errorf("hints %q, want %q", all, want)
	}
	stopPartitions()
	hint(conn.HintPartitions())
	hint(conn.HintBusy("blue"))
	if hint := <-got; hint != "busy blue" {
		t.Errorf("hint %q after its listener was stopped", hint)
	}
}
