package broker

import "testing"

func TestWhichServersAreNewEnough(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"2.15.0": true, "2.15.2-RC.1": true, "2.20.1": true, "3.0.0": true, "unknown": true,
		"2.14.9": false, "2.9.25": false, "1.4.0": false,
	} {
		if got := isNewEnough(version); got != want {
			t.Errorf("%s: %t, want %t", version, got, want)
		}
	}
}
