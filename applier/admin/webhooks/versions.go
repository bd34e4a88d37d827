package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/pkg/broker"
)

// Version is one save of a webhook.
type Version struct {
	broker.Saved
	// Changed names what is not as in the version before. It is nil for the oldest
	// version that is kept, unless that is the first.
	Changed []string
}

// Versions returns the saves of a webhook that are kept, newest first.
func (s *Service) Versions(ctx context.Context, id string) ([]Version, error) {
	kept, err := s.definitions.Versions(ctx, id)
	if err != nil {
		return nil, err
	}
	versions := make([]Version, len(kept))
	for i, saved := range kept {
		versions[i].Saved = saved
		if i+1 == len(kept) {
			if saved.Version == 1 {
				versions[i].Changed = []string{"created"}
			}
			break
		}
		if versions[i].Changed, err = changed(kept[i+1], saved); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// Version returns one version of a webhook.
func (s *Service) Version(ctx context.Context, id string, number int) (broker.Saved, error) {
	kept, err := s.definitions.Versions(ctx, id)
	if err != nil {
		return broker.Saved{}, err
	}
	if i := slices.IndexFunc(kept, func(v broker.Saved) bool { return v.Version == number }); i >= 0 {
		if kept[i].IsNewer() {
			return broker.Saved{}, kept[i].Newer
		}
		return kept[i], nil
	}
	return broker.Saved{}, fmt.Errorf("there is no version %d: those that are kept are %d to %d",
		number, kept[len(kept)-1].Version, kept[0].Version)
}

// changed names the parts of a record that differ. It goes by the record's JSON,
// and so knows of parts that are added to it.
func changed(before, after broker.Saved) ([]string, error) {
	old, err := parts(before)
	if err != nil {
		return nil, err
	}
	now, err := parts(after)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(old)
	maps.Copy(all, now)
	names := []string{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		switch {
		case key == "version" || key == "format" || key == "updated_at" || bytes.Equal(old[key], now[key]):
		case key == "state":
			names = append(names, fmt.Sprintf("state %s to %s", before.State, after.State))
		case key == "deleted_at":
			names = append(names, "deleted")
		default:
			names = append(names, strings.ReplaceAll(key, "_", " "))
		}
	}
	return names, nil
}

func parts(s broker.Saved) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(s.Record)
	if err != nil {
		return nil, fmt.Errorf("compare versions: %w", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("compare versions: %w", err)
	}
	return all, nil
}
