package report

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/bits"
)

// registers is the number of registers of a Sketch: the estimate is within 1.04 /
// sqrt(256) = 6.5 % of the number, for two of three sketches.
const (
	registerBits = 8
	registers    = 1 << registerBits
)

// Sketch estimates how many different texts were added to it, in 256 bytes, by
// HyperLogLog (Flajolet and others, 2007). The zero value is empty.
type Sketch [registers]uint8

// add adds a text. The hash is not keyed: who makes collisions makes the number of
// their own workload's hosts wrong.
func (s *Sketch) add(text string) {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	// FNV's high bits depend little on the last bytes.
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	register := h >> (64 - registerBits)
	rank := uint8(bits.LeadingZeros64(h<<registerBits|1<<(registerBits-1)) + 1)
	s[register] = max(s[register], rank)
}

// merge adds what was added to another sketch.
func (s *Sketch) merge(o *Sketch) {
	for i := range s {
		s[i] = max(s[i], o[i])
	}
}

// estimate is the estimated number of different texts.
func (s *Sketch) estimate() uint64 {
	sum, empty := 0.0, 0
	for _, r := range s {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			empty++
		}
	}
	if empty == registers {
		return 0
	}
	e := 0.7213 / (1 + 1.079/registers) * registers * registers / sum
	if e <= 2.5*registers && empty > 0 {
		e = registers * math.Log(registers/float64(empty)) // linear counting
	}
	return max(1, uint64(math.Round(min(e, maxCount))))
}

// MarshalText encodes the registers.
func (s *Sketch) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, s[:]), nil
}

// maxRank is the largest value of a register: the bits of a hash without those that
// select the register, and one.
const maxRank = 64 - registerBits + 1

// UnmarshalText decodes them.
func (s *Sketch) UnmarshalText(text []byte) error {
	data, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(data) != registers {
		return fmt.Errorf("sketch of %d bytes: must be %d bytes in base64", len(text), registers)
	}
	copy(s[:], data)
	for i := range s {
		s[i] = min(s[i], maxRank)
	}
	return nil
}
