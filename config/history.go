package config

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// MaxRecords is how many configurations a History keeps.
const MaxRecords = 6

const (
	// historyKey is the key of the ConfigMap with a line for each record, newest first.
	historyKey = "history"
	// maxStored is below the 1 MiB that the data of a ConfigMap may have.
	maxStored = 1<<20 - 16<<10
	// maxLines bounds the text that is read, whoever wrote it: a line has up to 1 KiB,
	// and the ranges of a cluster.
	maxLines = 256 << 10
	// maxUnpacked bounds what a record decompresses to: three texts of 1 MiB, in
	// which JSON writes a line break as two bytes, and at worst a character as six.
	maxUnpacked = 6 * 3 * maxText
	maxHashes   = 8
	maxVersions = 4
)

// Record is one configuration that was active, as it is stored in the cluster.
type Record struct {
	// Hash is the hash under which it was first active: that of the status annotation
	// of pods. Another version of the program, or other ranges of the cluster, give
	// the same texts another hash; Also are those, newest last.
	Hash string   `json:"hash"`
	Also []string `json:"also,omitempty"`
	// Time is when it became active.
	Time time.Time `json:"time"`
	// Versions are those of the program that have applied it, newest last.
	Versions []string `json:"versions"`
	// Ranges are the cluster's ranges that the names in range lists had, in a form of
	// the caller's.
	Ranges json.RawMessage `json:"ranges,omitempty"`
	// Texts is a digest of the texts, Sum one of the line and of what is stored.
	Texts string `json:"texts"`
	Sum   string `json:"sum"`

	stored []byte
}

// History is what is stored of earlier configurations, newest first.
type History []Record

// NewRecord is a record of the texts. The same texts give the same bytes.
func NewRecord(hash string, at time.Time, version string, l Location, t Texts) (Record, error) {
	stored, err := pack(l, t)
	if err != nil {
		return Record{}, fmt.Errorf("store configuration %s: %w", hash, err)
	}
	return Record{Hash: hash, Time: at.UTC().Truncate(time.Second), Versions: []string{version}, Texts: t.digest(), stored: stored}, nil
}

func (t Texts) digest() string {
	text, err := json.Marshal(t)
	if err != nil {
		panic("config: digest: " + err.Error()) // three strings
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Known reports whether the record is of the hash.
func (r Record) Known(hash string) bool { return r.Hash == hash || slices.Contains(r.Also, hash) }

// Latest is the newest hash of the record.
func (r Record) Latest() string {
	if n := len(r.Also); n > 0 {
		return r.Also[n-1]
	}
	return r.Hash
}

// Is reports whether the record has the texts.
func (r Record) Is(t Texts) bool { return r.Texts == t.digest() }

// AppliedBy reports whether a version of the program has applied it.
func (r Record) AppliedBy(version string) bool { return slices.Contains(r.Versions, version) }

// storedMap is a ConfigMap as kubectl applies it.
type storedMap struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   storedMeta        `json:"metadata"`
	Data       map[string]string `json:"data"`
}

type storedMeta struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type storedList struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Items      []storedMap `json:"items"`
}

// pack is the two ConfigMaps as a List that kubectl can apply, compressed.
func pack(l Location, t Texts) ([]byte, error) {
	of := func(name string, data map[string]string) storedMap {
		return storedMap{"v1", "ConfigMap", storedMeta{name, l.Namespace}, data}
	}
	text, err := json.Marshal(storedList{"v1", "List", []storedMap{
		of(l.Injector, map[string]string{keyConfig: t.Config, keyValues: t.Values}), of(l.Mesh, map[string]string{keyMesh: t.Mesh}),
	}})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

// Read returns the texts of the record.
func (r Record) Read() (t Texts, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("stored configuration %s: %w", r.Hash, err)
		}
	}()
	z, err := gzip.NewReader(bytes.NewReader(r.stored))
	if err != nil {
		return t, err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err != nil {
		return t, err
	}
	if len(text) > maxUnpacked {
		return t, fmt.Errorf("decompressed size exceeds %d bytes", maxUnpacked)
	}
	var list storedList
	if err := json.Unmarshal(text, &list); err != nil {
		return t, err
	}
	for _, o := range list.Items {
		if _, ok := o.Data[keyMesh]; ok {
			t.Mesh = o.Data[keyMesh]
			continue
		}
		t.Config, t.Values = o.Data[keyConfig], o.Data[keyValues]
	}
	if !r.Is(t) {
		return Texts{}, errors.New("the texts do not have the digest of the record")
	}
	return t, nil
}

// sum digests the record's line and its bytes.
func (r Record) sum() string {
	r.Sum = ""
	line, err := json.Marshal(r)
	if err != nil {
		return ""
	}
	h := sha256.New()
	h.Write(line)
	h.Write(r.stored)
	return hex.EncodeToString(h.Sum(nil))
}

// ReadHistory reads the data of the ConfigMap. A record that was changed or cut is
// omitted, with an error.
func ReadHistory(data map[string]string, stored map[string][]byte) (h History, errs []error) {
	text := data[historyKey]
	if len(text) > maxLines {
		return nil, []error{fmt.Errorf("key %q: %d bytes exceed the maximum length of %d", historyKey, len(text), maxLines)}
	}
	n := 0
	for line := range strings.Lines(text) {
		if n++; len(h)+len(errs) > MaxRecords {
			return h, append(errs, fmt.Errorf("key %q: more than %d lines; the rest is not read", historyKey, MaxRecords))
		}
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			errs = append(errs, fmt.Errorf("key %q, line %d: %w", historyKey, n, err))
			continue
		}
		r.stored = stored[r.Hash]
		switch {
		case len(r.stored) == 0:
			errs = append(errs, fmt.Errorf("key %q, line %d: binaryData has no key %q", historyKey, n, shortHash(r.Hash)))
		case r.sum() != r.Sum:
			errs = append(errs, fmt.Errorf("configuration %s does not have the SHA-256 checksum of its line: it was changed or cut", shortHash(r.Hash)))
		default:
			h = append(h, r)
		}
	}
	return h, errs
}

func shortHash(s string) string { return s[:min(len(s), 64)] }

// Data is the data of the ConfigMap: as many records as fit. It is an error if the
// newest does not.
func (h History) Data() (data map[string]string, stored map[string][]byte, err error) {
	var lines strings.Builder
	stored = map[string][]byte{}
	size := len(historyKey)
	for n, r := range h {
		r.Sum = r.sum()
		line, err := json.Marshal(r)
		if err != nil {
			return nil, nil, fmt.Errorf("store configuration %s: %w", r.Hash, err)
		}
		size += len(line) + 1 + len(r.Hash) + len(r.stored)
		if n >= MaxRecords || size > maxStored || lines.Len()+len(line)+1 > maxLines {
			if n == 0 {
				return nil, nil, fmt.Errorf("store configuration %s: %d compressed bytes exceed %d; remove comments and templates that are not used", r.Hash, size, maxStored)
			}
			break
		}
		lines.Write(line)
		lines.WriteByte('\n')
		stored[r.Hash] = r.stored
	}
	return map[string]string{historyKey: lines.String()}, stored, nil
}

// With is the history with a record as the newest one, or as the second where the
// newest is newest: the texts of the ConfigMaps, which another version has applied
// and this one rejects. The second result is false if nothing changes.
func (h History) With(r Record, newest Texts) (History, bool) {
	current := r.Is(newest)
	at := slices.IndexFunc(h, func(o Record) bool { return o.Texts == r.Texts || o.Known(r.Hash) })
	if at >= 0 {
		old := h[at]
		merged := old.merged(r)
		stays := at == 0 || !current
		if stays && old.same(merged) {
			return h, false
		}
		if stays {
			merged.Time = old.Time
			out := slices.Clone(h)
			out[at] = merged
			return out, true
		}
		out := slices.Delete(slices.Clone(h), at, at+1)
		return slices.Insert(out, 0, merged), true
	}
	place := 0
	if !current && len(h) > 0 && h[0].Is(newest) {
		place = 1
	}
	out := slices.Insert(slices.Clone(h), place, r)
	return out[:min(len(out), MaxRecords)], true
}

// merged is the record with what is newer in next, which has the same effect.
func (r Record) merged(next Record) Record {
	also := r.Also
	if next.Hash != r.Hash {
		also = add(also, next.Hash, maxHashes)
	}
	next.Hash, next.Also, next.Versions = r.Hash, also, add(r.Versions, next.Versions[len(next.Versions)-1], maxVersions)
	if next.Ranges == nil {
		next.Ranges = r.Ranges
	}
	return next
}

// add appends a text that a list does not have, and removes the oldest of too many.
func add(list []string, text string, most int) []string {
	if slices.Contains(list, text) {
		return list
	}
	out := append(slices.Clone(list), text)
	return out[max(0, len(out)-most):]
}

// same reports whether two records differ in their time at most.
func (r Record) same(next Record) bool {
	return r.Texts == next.Texts && slices.Equal(r.Also, next.Also) && slices.Equal(r.Versions, next.Versions) && bytes.Equal(r.Ranges, next.Ranges)
}
