package attack

func connectAttacks() []Attack { return nil }
