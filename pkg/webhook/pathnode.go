package webhook

// PathNode is one value of a payload in the tree of all paths that a program
// reads, so that one pass over a payload finds them all. It is immutable once
// compiled.
type PathNode struct {
	// Slot is the place of this value among those found, or NoSlot where only
	// values inside it are wanted.
	Slot int
	// Names has the members of an object that are wanted, Indexes the elements of
	// an array, and FromEnd those counted from its end: 1 is the last.
	Names   map[string]*PathNode
	Indexes map[int64]*PathNode
	FromEnd map[int64]*PathNode
	// Elements is what is wanted of each element of an array, nil where nothing is.
	// Array is then the array's number among those of the program.
	Elements *PathNode
	Array    int
}

func newPathNode() *PathNode {
	return &PathNode{
		Slot:  NoSlot,
		Names: map[string]*PathNode{}, Indexes: map[int64]*PathNode{}, FromEnd: map[int64]*PathNode{},
	}
}

// descend gives the node of a path, making what is missing on the way.
func (n *PathNode) descend(segments []Segment) *PathNode {
	for _, s := range segments {
		switch {
		case !s.IsIndex:
			n = child(n.Names, s.Name)
		case s.Index >= 0:
			n = child(n.Indexes, s.Index)
		default:
			n = child(n.FromEnd, -s.Index)
		}
	}
	return n
}

func child[K comparable](children map[K]*PathNode, key K) *PathNode {
	n, ok := children[key]
	if !ok {
		n = newPathNode()
		children[key] = n
	}
	return n
}
