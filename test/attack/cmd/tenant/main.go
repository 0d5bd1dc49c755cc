// Tenant is what the pods of package attack run: an ordinary application, and the
// attacks of a hostile one. It ends with its pod.
package main

import (
	"fmt"
	"log"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// commands by name; each runs until the process is killed.
var commands = map[string]func(args []string) error{
	"requests": requests, // URL...
	"sink":     sink,
	"streams":  streams, // KIND TARGET...
	"tokens":   tokens,  // KIND TARGET...
	"idle":     idle,    // KIND TARGET...
	"frames":   frames,  // KIND TARGET...
	"reviews":  reviews, // KIND TARGET...
	"reports":  reports, // KIND TARGET...
}

// Each argument is a command, written as in a shell; they run at once.
func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)
	for _, line := range os.Args[1:] {
		f := strings.Fields(line)
		if len(f) == 0 || commands[f[0]] == nil {
			log.Fatalf("no command %q", line)
		}
		go func() {
			if err := commands[f[0]](f[1:]); err != nil {
				log.Fatal(err)
			}
		}()
	}
	select {}
}

// counts are what an attack has done, by outcome, and is logged once a second.
type counts struct {
	name string
	of   map[string]*atomic.Int64
	last atomic.Pointer[string]
}

func counting(name string, outcomes ...string) *counts {
	c := &counts{name: name, of: map[string]*atomic.Int64{}}
	for _, o := range outcomes {
		c.of[o] = &atomic.Int64{}
	}
	go func() {
		for range time.Tick(time.Second) {
			log.Print(c)
		}
	}()
	return c
}

func (c *counts) add(outcome string) { c.of[outcome].Add(1) }

// failed counts an error and keeps the latest.
func (c *counts) failed(outcome string, err error) {
	c.add(outcome)
	text := err.Error()
	c.last.Store(&text)
}

func (c *counts) String() string {
	var b strings.Builder
	b.WriteString(c.name)
	for _, o := range slices.Sorted(maps.Keys(c.of)) {
		fmt.Fprintf(&b, " %s=%d", o, c.of[o].Load())
	}
	if e := c.last.Load(); e != nil {
		fmt.Fprintf(&b, " last error %q", *e)
	}
	return b.String()
}

// workers runs n copies of a function without end, each with its number.
func workers(n int, run func(i int)) {
	for i := range n {
		go func() {
			for {
				run(i)
			}
		}()
	}
}

// connections runs n workers that open a connection to a target, use it and close it.
func connections(n int, targets []string, count *counts, use func(i int, c net.Conn)) {
	workers(n, func(i int) {
		c, err := net.DialTimeout("tcp", targets[i%len(targets)], 5*time.Second)
		if err != nil {
			count.failed("failed", err)
			time.Sleep(100 * time.Millisecond)
			return
		}
		defer func() { _ = c.Close() }()
		use(i, c)
	})
}
