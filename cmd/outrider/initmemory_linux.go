package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// releaseInitMemory releases the pages of the program's own file that only package
// initialization needed: the packages of the webhook, of Kubernetes and of Envoy,
// which this command does not use, are initialized all the same and keep some 40 MB
// of the file resident. Such pages are clean; one that is needed again is read from
// the page cache with a fault of a microsecond.
//
// With it kube-inject of 1,000 Deployments peaks at 47 MB of resident memory, without
// it at 67 MB (medians of 7 runs), at the same time. It is an optimization only, so it
// ignores errors.
func releaseInitMemory() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	var m mapping
	for line := range bytes.Lines(maps) {
		if m.starts(line, program) {
			continue
		}
		// A page that was written to (relocations of a position-independent
		// program) would be lost: it is in no file.
		if m.file && bytes.HasPrefix(line, []byte("Anonymous:")) && bytes.Contains(line, []byte(" 0 kB")) {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
		}
	}
}

// mapping is an entry of smaps.
type mapping struct {
	from, to uintptr
	file     bool // of the program, not writable
}

// starts reads the line that starts an entry.
func (m *mapping) starts(line []byte, program string) bool {
	var from, to uintptr
	var mode string
	if n, _ := fmt.Sscanf(string(line), "%x-%x %s", &from, &to, &mode); n < 3 {
		return false
	}
	name := bytes.TrimSpace(line)
	*m = mapping{from, to, bytes.HasSuffix(name, []byte(" "+program)) && (mode == "r-xp" || mode == "r--p")}
	return true
}
