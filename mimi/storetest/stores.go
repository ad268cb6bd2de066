package storetest

// Stores are the stores of one gateway in memory, as mapping.Store is in SQLite:
// a transaction of one of them spans all that are called with its context.
type Stores struct {
	// Faults make all of them fail.
	Faults *Faults

	Hub    *HubStore
	Client *ClientStore
	People *PeopleStore
}

// New returns empty stores.
func New() *Stores {
	faults := &Faults{}
	db := newDatabase(faults)
	return &Stores{
		Faults: faults,
		Hub:    &HubStore{faults, newMemoryIn(db, (*hubState).disown)},
		Client: &ClientStore{faults, newMemoryIn(db, (*clientState).disown)},
		People: &PeopleStore{faults, newMemoryIn(db, (*peopleState).disown)},
	}
}
