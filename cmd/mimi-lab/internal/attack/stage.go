package attack

func stageAttacks() []Attack { return nil }
