package attack

func welcomeAttacks() []Attack { return nil }
