// Package pages has an array whose copies share what did not change: a ratchet
// tree of one epoch differs from that of the next in a few nodes.
package pages

// size is how many items a page has. The path of a leaf crosses few pages, and
// a copy of one is small.
const size = 16

// An Array is a growing array of T, whose new items are zero. A copy of one is
// made by [Array.Clone] alone, and after that only the copy is written to.
type Array[T any] struct {
	pages []*page[T]
	len   int
	owner *owner
}

// An owner says which array may write to a page.
type owner struct{ _ byte }

type page[T any] struct {
	owner *owner
	items [size]T
}

// Len returns the number of items.
func (a *Array[T]) Len() int { return a.len }

// At returns item i, which has to be there.
func (a *Array[T]) At(i int) T { return a.pages[i/size].items[i%size] }

// Set replaces item i, which has to be there.
func (a *Array[T]) Set(i int, v T) { a.own(i / size).items[i%size] = v }

// own returns a page to write to.
func (a *Array[T]) own(i int) *page[T] {
	p := a.pages[i]
	if p.owner != a.owner {
		p = &page[T]{a.owner, p.items}
		a.pages[i] = p
	}
	return p
}

// Resize sets the number of items.
func (a *Array[T]) Resize(n int) {
	if a.owner == nil {
		a.owner = new(owner)
	}
	have := (n + size - 1) / size
	for len(a.pages) < have {
		a.pages = append(a.pages, &page[T]{owner: a.owner})
	}
	clear(a.pages[have:])
	a.pages = a.pages[:have]
	// What is behind the end is zero, should the array grow again.
	if n < a.len && n%size != 0 {
		clear(a.own(have - 1).items[n%size:])
	}
	a.len = n
}

// Clone returns a copy. From now on only the copy may be written to.
func (a *Array[T]) Clone() Array[T] {
	return Array[T]{append(make([]*page[T], 0, len(a.pages)+1), a.pages...), a.len, new(owner)}
}
