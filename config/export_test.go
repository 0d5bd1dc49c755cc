package config

import "strings"

// ReadKeys are the keys of the values that are read.
func ReadKeys() []string { return strings.Fields(usedKeys + objectKeys + mappingKeys) }
