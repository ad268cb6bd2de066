package attack

func keyMaterialAttacks() []Attack { return nil }
