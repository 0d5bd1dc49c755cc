package config

// ReadKeys are the keys of the values that are read.
func ReadKeys() (out []string) {
	for _, k := range usedKeys {
		out = append(out, k.Path)
	}
	return out
}
