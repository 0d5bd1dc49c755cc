package attack

import "testing"

func expressions(t *testing.T, b *battery)      {}
func othersHosts(t *testing.T, b *battery)      {}
func headerCommands(t *testing.T, b *battery)   {}
func writtenEndpoints(t *testing.T, b *battery) {}
func stolenAccount(t *testing.T, b *battery)    {}
func waysAround(t *testing.T, b *battery)       {}
