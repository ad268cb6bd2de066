package attack

func queueAttacks() []Attack { return nil }
