package ledger

import "github.com/coinhook/coinhook/applier"

// Replay is a dead letter that is to run again, as it is under its lock.
type Replay struct {
	// Executed says that this very replay has run already.
	Executed bool
	// Forgotten says that the delivery was removed for its age, or is decided
	// elsewhere meanwhile.
	Forgotten bool
	// IsKnown says that the delivery has an outcome, Outcome which.
	IsKnown bool
	Outcome applier.Settlement
	// IsDead says that it is a dead letter, and so may run.
	IsDead bool
	// IsLocked says that somebody else has locked the outcome.
	IsLocked bool
}

// ReplayStep is what to do with a replay.
type ReplayStep int

const (
	// Run decides the delivery, again or for the first time.
	Run ReplayStep = iota
	// Stop leaves everything as it is.
	Stop
	// Wait parks the replay.
	Wait
	// Note writes down that the replay changed nothing.
	Note
)

// Decide says what to do with a replay, and its result unless it is to run. A delivery
// that is no longer a dead letter stays as it is. A delivery without an outcome,
// because the database is older than the stream, runs as if for the first time.
// changesNothing is set for a replay that is only to be noted.
func (r Replay) Decide(changesNothing bool) (ReplayStep, applier.Settlement) {
	s := r.Outcome
	switch {
	case r.Executed:
		s.Known = true
		return Stop, s
	case r.Forgotten:
		return Stop, applier.Settlement{Forgotten: true}
	case r.IsLocked:
		return Wait, applier.Settlement{}
	case r.IsKnown && (!r.IsDead || changesNothing):
		s.NoOp = true
		return Note, s
	}
	return Run, applier.Settlement{}
}
