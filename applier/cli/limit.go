package cli

// limitFlag bounds a list.
type limitFlag struct {
	Limit int `placeholder:"N" default:"50" help:"Show this many at most."`
}

func (f limitFlag) checkLimit() error {
	if f.Limit < 1 {
		return usagef("--limit is 1 or more, not %d", f.Limit)
	}
	return nil
}

// cut leaves the first of a list that is read whole, and says where there are more.
func cut[T any](a *app, f limitFlag, list []T) ([]T, error) {
	if err := f.checkLimit(); err != nil {
		return nil, err
	}
	if len(list) <= f.Limit {
		return list, nil
	}
	a.say("There are %d: use a larger --limit.", len(list))
	return list[:f.Limit], nil
}
