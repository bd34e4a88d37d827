package admin_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
)

func TestFactsOfTheTrail(t *testing.T) {
	t.Parallel()
	for detail, want := range map[string]string{
		`{}`: "",
		`{"count":3,"edited":false,"note":"","force":true}`: "count: 3; force: yes",
		`{"state":"paused","was":"active","version":4}`:     "state: active → paused; version: 4",
		`{"name":"Store","was":"Shop"}`:                     "name: Shop → Store",
		`{"name":"Store","was":""}`:                         "name: Store",
		`{"currency":{"code":"gems","minimum":-1000000000000000000,"maximum":null},"community":"default"}`:  "community: default; currency code: gems; currency minimum: -1000000000000000000",
		`{"options":["a","b"],"not_recorded_since":12,"findings":[{"kind":"lost","n":1},{"kind":"extra"}]}`: "findings: kind: lost, n: 1, kind: extra; not recorded since: 12; options: a, b",
		`["what an older version wrote"]`: `detail: ["what an older version wrote"]`,
	} {
		var got []string
		for _, f := range (admin.TrailEntry{Detail: []byte(detail)}).Facts() {
			got = append(got, f.String())
		}
		if diff := cmp.Diff(want, strings.Join(got, "; ")); diff != "" {
			t.Errorf("%s:\n%s", detail, diff)
		}
	}
}
