package broker

// Span is a run of sequences, both ends included.
type Span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Spans are runs of sequences in rising order, apart from each other.
type Spans []Span

// NewSpans joins sequences that come in rising order.
func NewSpans(sequences ...uint64) Spans {
	var s Spans
	for _, seq := range sequences {
		s = s.add(Span{seq, seq})
	}
	return s
}

// add appends a run that begins within the last one, right behind it, or later.
// An empty run adds nothing.
func (s Spans) add(x Span) Spans {
	switch n := len(s); {
	case x.From > x.To:
		return s
	case n > 0 && x.From <= s[n-1].To+1:
		s[n-1].To = max(s[n-1].To, x.To)
		return s
	}
	return append(s, x)
}

// len is how many sequences there are.
func (s Spans) len() (n uint64) {
	for _, x := range s {
		n += x.To - x.From + 1
	}
	return n
}

func (s Spans) has(sequence uint64) bool {
	for _, x := range s {
		if x.From <= sequence && sequence <= x.To {
			return true
		}
	}
	return false
}

// and returns what is in both.
func (s Spans) and(other Spans) (both Spans) {
	for i, j := 0, 0; i < len(s) && j < len(other); {
		both = both.add(Span{max(s[i].From, other[j].From), min(s[i].To, other[j].To)})
		if s[i].To < other[j].To {
			i++
		} else {
			j++
		}
	}
	return both
}

// or returns what is in either.
func (s Spans) or(other Spans) (all Spans) {
	for len(s) > 0 || len(other) > 0 {
		if len(other) == 0 || len(s) > 0 && s[0].From <= other[0].From {
			all, s = all.add(s[0]), s[1:]
		} else {
			all, other = all.add(other[0]), other[1:]
		}
	}
	return all
}

// without returns what is not in the other one.
func (s Spans) without(other Spans) (rest Spans) {
	for _, x := range s {
		for _, cut := range other {
			if cut.To < x.From || cut.From > x.To {
				continue
			}
			if cut.From > x.From {
				rest = rest.add(Span{x.From, cut.From - 1})
			}
			x.From = cut.To + 1
		}
		rest = rest.add(x)
	}
	return rest
}
