package faults

import (
	"context"
	"errors"
	"slices"
	"time"
)

// parts chooses the parts that a fault is about.
type parts func(ctx context.Context, r *round) ([]string, error)

// targets chooses the parts that others are cut from.
type targets func(r *round, from []string) []string

// effect is a fault at parts, which lasts until the round is healed.
type effect func(r *round, names ...string) error

// injection causes a fault and returns when it has lasted its time.
type injection = func(ctx context.Context, r *round) error

// lasting has an effect last for a time between low and high.
func lasting(low, high time.Duration, cause effect, choose parts) injection {
	return func(ctx context.Context, r *round) error {
		names, err := choose(ctx, r)
		if err != nil {
			return err
		}
		return errors.Join(cause(r, names...), r.hold(ctx, low, high))
	}
}

func killed(low, high time.Duration, choose parts) injection {
	return lasting(low, high, (*round).kill, choose)
}

func paused(low, high time.Duration, choose parts) injection {
	return lasting(low, high, (*round).pause, choose)
}

func cut(low, high time.Duration, choose parts, from targets) injection {
	return lasting(low, high, func(r *round, names ...string) error { return r.cut(names, from(r, names)) }, choose)
}

// unheard has others not hear the parts.
func unheard(low, high time.Duration, choose parts, by targets) injection {
	return lasting(low, high, func(r *round, names ...string) error { return r.cutOneWay(names, by(r, names)) }, choose)
}

// leader is the server that leads the stream of deliveries.
func leader(ctx context.Context, r *round) ([]string, error) {
	name, _, err := r.leader(ctx)
	return []string{name}, err
}

func followers(ctx context.Context, r *round) ([]string, error) {
	_, names, err := r.leader(ctx)
	return names, err
}

func all(list func(*round) []string) parts {
	return func(_ context.Context, r *round) ([]string, error) { return list(r), nil }
}

func one(list func(*round) []string) parts { return oneOf(all(list)) }

func oneOf(choose parts) parts {
	return func(ctx context.Context, r *round) ([]string, error) {
		names, err := choose(ctx, r)
		if err != nil {
			return nil, err
		}
		return []string{r.pick(names)}, nil
	}
}

func servers(r *round) []string   { return r.Servers() }
func ingresses(r *round) []string { return r.Ingresses() }
func running(r *round) []string   { return r.Appliers()[:r.scaled] }
func services(r *round) []string  { return append(ingresses(r), running(r)...) }
func primary(r *round) []string   { return []string{r.Primary()} }
func standby(r *round) []string   { return []string{r.Standby()} }

func databases(r *round) []string {
	if r.Standby() == "" {
		return primary(r)
	}
	return append(primary(r), r.Standby())
}

func outside(names, inside []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(inside, name) })
}

func everything(r *round, from []string) []string   { return outside(r.Names(), from) }
func otherServers(r *round, from []string) []string { return outside(servers(r), from) }

func to(list func(*round) []string) targets {
	return func(r *round, _ []string) []string { return list(r) }
}

func toOne(list targets) targets {
	return func(r *round, from []string) []string { return []string{r.pick(list(r, from))} }
}
