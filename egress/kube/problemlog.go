package kube

import (
	"github.com/go-logr/logr"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// problemLog logs each problem of the objects once, when it appears.
type problemLog struct {
	log  logr.Logger
	last map[string]bool
}

func (l *problemLog) update(problems problem.List) {
	next := make(map[string]bool, len(problems))
	for _, p := range problems {
		text := p.String()
		if !l.last[text] && !next[text] {
			l.log.Info("object has errors or ineffective fields", "severity", p.Severity.String(), "problem", text)
		}
		next[text] = true
	}
	l.last = next
}
