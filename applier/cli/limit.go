package cli

// limitFlag bounds a list that is read whole.
type limitFlag struct {
	Limit int `placeholder:"N" default:"50" help:"How many at most."`
}

// cut leaves the first of a list, and says where there are more.
func cut[T any](a *app, f limitFlag, list []T) ([]T, error) {
	if f.Limit < 1 {
		return nil, usagef("--limit is 1 or more, not %d", f.Limit)
	}
	if len(list) <= f.Limit {
		return list, nil
	}
	a.say("There are %d: add a larger --limit.", len(list))
	return list[:f.Limit], nil
}
