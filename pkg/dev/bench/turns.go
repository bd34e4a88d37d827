package main

import (
	"context"
	"slices"
)

// series has one figure of one side for each round.
type series []float64

func (s series) median() float64 { return median(s) }

// to returns the median of the rounds' ratios. It compares neighbours in time:
// the speed of a machine changes during a run.
func (s series) to(other series) float64 {
	ratios := make([]float64, min(len(s), len(other)))
	for i := range ratios {
		ratios[i] = s[i] / other[i]
	}
	return median(ratios)
}

// takeTurns runs each side once a round. Every other round reverses their order,
// so that no side always runs on what the same other side left behind.
func takeTurns(ctx context.Context, rounds int, sides ...func(ctx context.Context, round int) error) error {
	for round := range rounds {
		order := slices.Clone(sides)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, side := range order {
			if err := side(ctx, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep is a side for takeTurns that adds what each turn gave to a list.
func keep[T any](all *[]T, turn func(ctx context.Context, round int) (T, error)) func(context.Context, int) error {
	return func(ctx context.Context, round int) error {
		t, err := turn(ctx, round)
		*all = append(*all, t)
		return err
	}
}

// turnsOf has sides take the same kind of turn, and returns what each gave.
func turnsOf[S, T any](ctx context.Context, rounds int, sides []S, turn func(ctx context.Context, side S, round int) (T, error)) ([][]T, error) {
	gave := make([][]T, len(sides))
	var turns []func(context.Context, int) error
	for i, side := range sides {
		turns = append(turns, keep(&gave[i], func(ctx context.Context, round int) (T, error) { return turn(ctx, side, round) }))
	}
	return gave, takeTurns(ctx, rounds, turns...)
}
