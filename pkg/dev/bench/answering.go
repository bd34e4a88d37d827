package main

import "context"

// moreRounds is how many turns each side has for one of another comparison's, where turns
// are short or differences are small.
const moreRounds = 2

// answers are what one turn gave whose effects nobody waits for: requests a second, and
// microseconds a request of the process that takes them.
type answers struct{ rate, cpu float64 }

func (a answers) rateOf() float64 { return a.rate }
func (a answers) cpuOf() float64  { return a.cpu }

// answering has n connections send flat out to the sides in turns, so many for one of
// another comparison's.
func (b *bench) answering(ctx context.Context, times, n int, sides ...*side) ([][]answers, error) {
	return turnsOf(ctx, times*b.size.rounds, sides, func(ctx context.Context, s *side, _ int) (a answers, err error) {
		before, err := cpuOf(s.own()[s.http])
		if err != nil {
			return a, err
		}
		sent, err := s.flow(ctx, load{connections: n, lasts: b.size.measure / 2})
		if err != nil {
			return a, err
		}
		after, err := cpuOf(s.own()[s.http])
		if err != nil {
			return a, err
		}
		if s.db != nil { // else it stores nothing
			s.waiting = append(s.waiting, sent.requests...)
		}
		requests := float64(len(sent.requests))
		a.rate = requests / sent.end.Sub(sent.start).Seconds()
		a.cpu = float64((after - before).Microseconds()) / requests
		return a, nil
	})
}

// finish starts the appliers, and checks all that the side was sent once it has its effect.
func (b *bench) finish(ctx context.Context, s *side) error {
	if err := b.startAppliers(ctx); err != nil {
		return err
	}
	if _, err := s.settled(ctx, sending{requests: s.waiting}); err != nil {
		return err
	}
	s.waiting = nil
	return s.check(ctx)
}

// addPair adds a row of two sides that differ little.
func (s *section) addPair(prefix, label string, names [2]string, rate, otherRate, cpu, otherCPU series) {
	r := s.row(prefix, label)
	r.figure(names[0], rate.median(), perSecond)
	r.figure(names[1], otherRate.median(), perSecond)
	r.figure("ratio", rate.to(otherRate), ratioNear1)
	r.figure("cpu_"+names[0], cpu.median(), microseconds)
	r.figure("cpu_"+names[1], otherCPU.median(), microseconds)
	r.cell(thousandths(cpu.to(otherCPU)))
}

// addAnswers is addPair for the turns of two sides.
func (s *section) addAnswers(prefix, label string, names [2]string, turns [][]answers) {
	s.addPair(prefix, label, names, figures(turns[0], answers.rateOf), figures(turns[1], answers.rateOf),
		figures(turns[0], answers.cpuOf), figures(turns[1], answers.cpuOf))
}
