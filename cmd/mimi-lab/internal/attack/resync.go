package attack

func resyncAttacks() []Attack { return nil }
