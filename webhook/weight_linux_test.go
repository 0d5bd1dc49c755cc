package webhook

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// The cost of a review is at least what is allocated for it, whatever it contains.
func TestCost(t *testing.T) {
	f := newFixture(t, compiled(t, ""))
	f.options.Limits.ReviewMemory = 1 << 40
	handlers := Handlers(f.options)
	for path, reviews := range attackReviews(9000) {
		for _, review := range reviews {
			w := weigh(review)
			r := requestOf(review)
			r.URL.Path = path
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			handlers[path].ServeHTTP(&answerWriter{header: http.Header{}}, r)
			runtime.ReadMemStats(&after)
			// The handler's own work for any pod takes at most 100 KiB.
			if used := int64(after.TotalAlloc-before.TotalAlloc) - 100<<10; used > w.cost() {
				t.Errorf("%s: %d bytes allocated, the cost is %d: %+v\n%.300s", path, used, w.cost(), w, review)
			}
		}
	}
}

func TestWeigh(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+5)
	for text, want := range map[string]weight{
		``:                                   {},
		`{}`:                                 {values: 1, depth: 1},
		` { "a" : [ 1 , true,null, "x" ] } `: {values: 6, depth: 2},
		`{"a\"b":"c\\","d":-1.5e3}`:          {values: 3, depth: 1},
		`{"containers":[{},{ },{"name":"a,b]"}],"x":[{}]}`: {values: 8, depth: 3, containers: 3, large: 3},
		`{"containers":[null,1,[]]}`:                       {values: 5, depth: 3, containers: 3, large: 3},
		`{"containers":[]}`:                                {values: 2, depth: 2},
		`{"containers":{"a":[{}]}}`:                        {values: 4, depth: 4},
		`{"containers":"x","y":[{}]}`:                      {values: 4, depth: 3},
		`{"c\u006fntainers":[{},{}]}`:                      {values: 4, depth: 3, containers: 2, large: 2},
		`{"volumes":[{}],"initContainers":[{"a":[]}]}`:     {values: 6, depth: 4, containers: 1, large: 2},
		`["containers",[1,2]]`:                             {values: 5, depth: 2, containers: 2, large: 2}, // no key, and harmless
		deep:                                               {values: maxDepth, depth: maxDepth + 1},
		`"\`:                                               {values: 1},
		`"`:                                                {values: 1},
		`:::"a":"b":`:                                      {},
		`]]}},,{`:                                          {values: 1, depth: 1},
	} {
		want.bytes = len(text)
		if got := weigh([]byte(text)); got != want {
			t.Errorf("%.60s\n got %+v\nwant %+v", text, got, want)
		}
	}
}

// The values of any JSON are counted, and never fewer than the decoder makes.
func FuzzWeigh(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add(seed)
	}
	for _, object := range heavyObjects(20) {
		f.Add([]byte(object))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		w := weigh(text)
		if w.values < 0 || w.containers < 0 || w.large < w.containers {
			t.Errorf("%+v", w)
		}
		var value any
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if !json.Valid(text) || d.Decode(&value) != nil {
			return
		}
		if n, c := count(value, false); w.values < n || w.containers < c {
			t.Errorf("%+v, decoded %d values and %d containers", w, n, c)
		}
	})
}

// count is the number of values, and of those in lists of containers.
func count(value any, list bool) (values, containers int) {
	values = 1
	add := func(v any, list bool) {
		n, c := count(v, list)
		values, containers = values+n, containers+c
	}
	switch v := value.(type) {
	case []any:
		if list {
			containers = len(v)
		}
		for _, item := range v {
			add(item, false)
		}
	case map[string]any:
		for key, member := range v {
			add(member, key == "containers" || key == "initContainers" || key == "ephemeralContainers")
		}
	}
	return values, containers
}
